"""kdlib: knowledge distillation for multilingual language models, a teaching kit.

Importing it turns off the progress bars and informational messages of `transformers` and `datasets`: a long step of the
kit shows one bar of its own (none with ``KDLIB_QUIET=1``).
"""

import warnings

import datasets
import transformers

from .corpora import LABEL_NAMES
from .data import load_diagnostics, load_reviews
from .distill import DistillationArguments, DistillationTrainer, add_teacher_outputs, encode, train_classifier
from .errors import InputError
from .evaluate import evaluate, predict_logits
from .profile import profile_model
from .students import make_bilstm_student, make_student
from .teachers import finetune_teacher, load_teacher

__version__ = "0.1.0"
__all__ = ["LABEL_NAMES", "DistillationArguments", "DistillationTrainer", "InputError", "add_teacher_outputs", "encode",
           "evaluate", "finetune_teacher", "load_diagnostics", "load_reviews", "load_teacher", "make_bilstm_student",
           "make_student", "predict_logits", "profile_model", "train_classifier"]  # fmt: skip

datasets.disable_progress_bars()
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # peft asks transformers under an old name
