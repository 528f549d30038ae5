"""The gateway at work on an embedded stack: `make demo` tells it, `make run` keeps it up, `make demo-airflow` adds Airflow."""
