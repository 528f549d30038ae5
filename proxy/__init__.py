"""Identity-aware gateway between Apache Airflow and Amazon DynamoDB: keyless, per DAG, seen.

Importing this package imports nothing else: the worker side (`proxy.worker`) must stay free of dependencies.
"""

__version__ = "0.1.0"
