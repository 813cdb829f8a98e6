SHELL := bash
PYTHON ?= python3
PROFILE ?= quick
ARGS ?=
STUDENTS ?= zh en fr
BIN := .venv/bin
export TIMEFORMAT := took %lR

.DEFAULT_GOAL := help
.PHONY: help report test test-course test-students test-slow test-browser test-mutations book test-book assignments assign grade marks class-report compare test-classroom slides notebooks-zh lab bench experiments lock clean
ON_STUDENTS := $(foreach name,07_case_study_zh_en_fr 09_deploy_and_keep_fresh 11_student_anatomy 12_with_fewer_labels 13_languages_and_domains 14_robust_fair_explained,notebooks/$(name).ipynb notebooks/solutions/$(name).ipynb)
OTHERS := $(filter-out $(ON_STUDENTS),$(wildcard notebooks/[0-9]*.ipynb notebooks/solutions/[0-9]*.ipynb))
# Two processes, one thread each: a file runs in one of them, and the files begin in their order.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder
NBVAL := $(PYTEST) --nbval --nbval-current-env --nbval-sanitize-with tests/notebooks/sanitize.cfg

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

report: .venv/ready  ## distil three students from one teacher and write the report (PROFILE=quick, full or slice; ARGS="--seeds [1,2]")
	$(BIN)/kdlib report --profile $(PROFILE) $(ARGS)

test: export KDLIB_QUIET := 1
test: .venv/ready  ## ruff, mypy, pytest (with the report on a small slice) and nbval of the notebooks
	time $(BIN)/ruff check .
	time $(BIN)/mypy kdlib classroom
	time $(PYTEST) --cov=kdlib --cov-fail-under=90
	time $(NBVAL) $(OTHERS)

test-course: test-students test-slow  ## the two that follow (with --jobs=2: beside each other)

test-students: export KDLIB_QUIET := 1
test-students: .venv/ready  ## the quick report, and nbval of the notebooks that read its students
	time $(BIN)/kdlib report --profile quick
	time $(NBVAL) $(ON_STUDENTS)

test-slow: export KDLIB_QUIET := 1
test-slow: .venv/ready  ## the slow tests, and 05 to 07 and 09 with other parameters
	time $(PYTEST) --dist=load -m slow tests

test-browser: export KDLIB_QUIET := 1
test-browser: .venv/ready  ## open the notebooks with widgets in Chromium and move every control by keyboard
	time $(BIN)/python -m pytest tests/browser

test-mutations: .venv/ready  ## make thirteen mistakes in a copy of kdlib, one at a time: does a notebook or a test notice? (half an hour)
	time $(BIN)/python tests/mutations.py

book: .venv/ready  ## build the site into book/_build/html, with the report and students of make report (STUDENTS="zh en": without the French one)
	time $(BIN)/python book/build.py --students $(STUDENTS)

test-book: .venv/ready  ## open the built site in Chromium: links, search, accessibility, explorers, quizzes and the live student
	time $(PYTEST) tests/book

assignments: .venv/ready  ## try the six assignments: reference, blank, wrong and right answers graded in the sandbox (ASSIGNMENT=1_softmax: one)
	time OMP_NUM_THREADS=1 $(BIN)/python -m classroom.trial $(ASSIGNMENT)

assign: .venv/ready  ## make each student's own version: COURSE=folder ROSTER=roster.csv SEED=1 (ASSIGNMENT=1_softmax: one)
	$(BIN)/python -m classroom assign "$(COURSE)" --roster "$(ROSTER)" $(if $(SEED),--seed $(SEED)) $(if $(ASSIGNMENT),--assignment $(ASSIGNMENT))

grade: .venv/ready  ## grade what students handed in, in a sandbox: COURSE=folder ASSIGNMENT=1_softmax
	OMP_NUM_THREADS=1 $(BIN)/python -m classroom grade "$(COURSE)" $(ASSIGNMENT) $(ARGS)

marks: .venv/ready  ## write COURSE/marks.csv for Moodle or Canvas: COURSE=folder
	$(BIN)/python -m classroom marks "$(COURSE)"

class-report: .venv/ready  ## how the class did: COURSE=folder (ARGS=--names: with names)
	$(BIN)/python -m classroom class-report "$(COURSE)" $(ARGS)

compare: .venv/ready  ## two reports on the texts that both were tested on: A=folder B=folder
	$(BIN)/python -m classroom compare "$(A)" "$(B)"

test-classroom: .venv/ready  ## the classroom's own tests: hostile submissions, versions, grading, rosters, marks
	time $(PYTEST) tests/classroom

slides: .venv/ready  ## write the slides of the first session into book/_build/slides: with no network they work too (NOTEBOOK=another)
	$(BIN)/python book/slides.py $(NOTEBOOK)

notebooks-zh: .venv/ready  ## write the notebooks in Chinese into notebooks-zh/, code and outputs as they are
	$(BIN)/python book/catalogues.py notebooks zh_CN notebooks-zh

lab: .venv/ready  ## open JupyterLab at the first notebook
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

bench: .venv/ready  ## measure kdlib against its peers, the trainer, kdlib label, ONNX, the service, costs and limits: into benchmarks/results (two hours)
	$(BIN)/python benchmarks/pooling.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/deploy.py --layers 1 2 3
	$(BIN)/python benchmarks/label.py
	$(BIN)/python benchmarks/service.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/costs.py
	PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/python benchmarks/grading.py

experiments: .venv/ready  ## make what is missing of the stored tables that notebooks read (ARGS=12_with_fewer_labels: of one; up to an hour each)
	cd notebooks && OMP_NUM_THREADS=1 ../$(BIN)/python -m experiments $(ARGS)

lock:  ## bring requirements.lock in step with pyproject.toml (ARGS=--upgrade: the newest versions that fit)
	$(PYTHON) tools/lock.py $(ARGS)

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "kdlib needs Python 3.11 to 3.13: run make PYTHON=python3.12 (or whichever of them you have)."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

clean:  ## remove the environment and the reports; what was fetched and computed stays under KDLIB_HOME
	rm -rf .venv reports
