# The stories that show what this is. Each sets up what it needs, ends by itself (but `run`) and leaves nothing behind.

STORY := .venv/server/bin/python -m tests.demo
STAGE := $(foreach name,server engine clients,$(call ready,$(name)))

.PHONY: stage
stage:
	@$(MAKE) --silent --no-print-directory --jobs=3 $(STAGE)

.PHONY: demo
demo: stage ## the gateway at work, told in a minute: allowed, denied, refused by AWS, throttled, metrics, audit
	@$(STORY).story

.PHONY: run
run: stage ## the same stack, kept up, with what to paste to use it
	@$(STORY).run

.PHONY: demo-airflow
demo-airflow: stage $(call ready,airflow3) ## the same with a real Airflow 3: one DAG green, one denied, one throttled
	@$(STORY).airflow_story

.PHONY: stories
stories: environments ## these stories, as tests, alone
	$(PYTEST) tests/demo
