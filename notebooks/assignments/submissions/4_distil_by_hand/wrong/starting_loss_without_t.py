"""Leaves T² out of the soft term of the starting loss.

caught: starting_loss_test
says: with T at every place
"""


# %% starting_loss
def starting_loss(teacher_logits, labels, temperature, alpha):
    K = teacher_logits.shape[1]
    p = torch.softmax(teacher_logits / temperature, 1)
    soft = (p * (p * K).log()).sum(1)
    hard = math.log(K) * (labels != -1).float()
    return ((1 - alpha) * hard + alpha * soft).mean()
