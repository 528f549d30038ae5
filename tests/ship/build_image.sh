#!/bin/sh
# Builds the project's Dockerfile for real and unpacks the result: OUTDIR/rootfs (what runs) and OUTDIR/config.json (its configuration).
# With a Docker engine: `docker build`. Without: buildah as root, in a chroot, with no image registry; the base images
# are then made of Debian packages under the names that the Dockerfile asks for, so their Python is Debian's, whatever the names say.
# usage: build_image.sh CONTEXT OUTDIR CACHEDIR      needs a Docker engine, or root and Debian's buildah and mmdebstrap
set -eu
CONTEXT=$1 OUT=$2 CACHE=$3
BASE=$(sed -n 's/^ARG PYTHON_IMAGE=//p' "$CONTEXT/Dockerfile")
BUILD=$(sed -n 's/^ARG BUILD_IMAGE=//p' "$CONTEXT/Dockerfile")
SUITE=${BASE##*-}
rm -rf "$OUT"; mkdir -p "$OUT/rootfs" "$CACHE"

if docker info >/dev/null 2>&1; then
  docker build --quiet --tag dynamodb-proxy:test "$CONTEXT"
  docker image inspect --format '{{json .Config}}' dynamodb-proxy:test > "$OUT/config.json"
  c=$(docker create dynamodb-proxy:test); docker export "$c" | tar -x -C "$OUT/rootfs"; docker rm "$c" >/dev/null
  exit
fi

base() { # name packages: a tar of Debian's packages, kept for the next time
  [ -f "$CACHE/$1-$SUITE.tar" ] || {
    mmdebstrap --quiet --format=tar --variant=minbase --include="$2" \
      --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' "$SUITE" "$CACHE/$1-$SUITE.part"
    mv "$CACHE/$1-$SUITE.part" "$CACHE/$1-$SUITE.tar"
  }
}
base base python3,python3-venv,ca-certificates,passwd
base build python3-dev,python3-venv,gcc,libc6-dev,ca-certificates,passwd
export BUILDAH_ISOLATION=chroot
STORE=$(mktemp -d)
images() { command buildah --root "$STORE/root" --runroot "$STORE/run" --storage-driver vfs "$@"; }
trap 'images rm --all >/dev/null 2>&1 || true; rm -rf "$STORE"' EXIT
given() { # name image: what the Dockerfile begins with
  c=$(images from scratch)
  images add --quiet "$c" "$CACHE/$1-$SUITE.tar" / >/dev/null
  images config --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin --cmd python3 "$c"
  images commit --quiet "$c" "$2" >/dev/null
  images rm "$c" >/dev/null
}
given base "$BASE"
given build "$BUILD"
# --format docker: the OCI form has no HEALTHCHECK. The certificates are this machine's, as its packages come through them.
images bud --quiet --format docker --layers=false --pull-never --volume /etc/ssl/certs:/etc/ssl/certs:ro \
  --tag dynamodb-proxy:test "$CONTEXT" >&2
images inspect --type image dynamodb-proxy:test \
  | python3 -c 'import json, sys; json.dump(json.load(sys.stdin)["Docker"]["config"], sys.stdout)' > "$OUT/config.json"
c=$(images from --pull-never dynamodb-proxy:test)
cp -a "$(images mount "$c")/." "$OUT/rootfs/"
images umount "$c" >/dev/null
