"""Adds to pyproject.toml what it cannot say: compiled forms of a few functions (`proxy/native.py`), if there is a compiler.

One build serves Python 3.11 and all later ones. With DDB_PROXY_PURE set nothing is compiled, and the wheel is for every machine.
"""

import os

from setuptools import Extension, setup

if os.environ.get("DDB_PROXY_PURE"):
    setup()
else:
    native = Extension("proxy._native", ["proxy/native.c"], py_limited_api=True, optional=True)
    setup(ext_modules=[native], options={"bdist_wheel": {"py_limited_api": "cp311"}})
