"""Who is calling, and for which DAG?"""
