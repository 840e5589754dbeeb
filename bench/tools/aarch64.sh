#!/bin/sh
# The tests of bench/silicon on AArch64, under qemu-user: `make aarch64`.  Functional only: no time means anything there.
# Makes a small root of Debian's packages and of wheels in build/aarch64, once.  Needs Debian's apt, as root.
set -eu
cd "$(dirname "$0")/../.."
top=$PWD
here=$top/build/aarch64
python=${1:?the Python that fetches wheels}
missing() { echo "make aarch64: $1: the tests on AArch64 are skipped"; exit 0; }

command -v apt-get > /dev/null || missing "apt-get is not here"
command -v qemu-aarch64-static > /dev/null ||
  { apt-get update -qq && apt-get install -y -qq qemu-user-static; } > /dev/null 2>&1 ||
  missing "qemu-user-static could not be installed"

if [ ! -e "$here/ready" ]; then
  rm -rf "$here"
  mkdir -p "$here/apt/lists/partial" "$here/apt/archives/partial" "$here/debs" "$here/root" "$here/site"
  : > "$here/apt/status"
  set -- -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
    -o Dir::State::Lists="$here/apt/lists" -o Dir::State::Status="$here/apt/status" \
    -o Dir::Cache="$here/apt" -o Dir::Cache::Archives="$here/apt/archives"
  apt-get "$@" update || missing "Debian's packages for arm64 could not be listed"
  (cd "$here/debs" && apt-get "$@" download libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libssl3 libbz2-1.0 \
    liblzma5 libsqlite3-0 libuuid1 libcrypt1 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib) ||
    missing "Debian's Python for arm64 could not be fetched"
  for package in "$here"/debs/*.deb; do dpkg-deb -x "$package" "$here/root"; done
  "$python" -m pip download --quiet --disable-pip-version-check --only-binary=:all: --python-version 3.11 \
    --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
    --dest "$here/wheels" capstone hypothesis jsonschema msgspec numba numpy pytest rich tabulate tomli-w typer zstandard ||
    missing "wheels for AArch64 could not be fetched"
  for wheel in "$here"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$here/site"; done
  # A child of multiprocessing is started by this script too, which this machine can execute.
  cat > "$here/python" << END
#!/bin/sh
exec qemu-aarch64-static -L "$here/root" \\
  -E LD_LIBRARY_PATH="$here/root/lib/aarch64-linux-gnu:$here/root/usr/lib/aarch64-linux-gnu" \\
  -E PYTHONHOME="$here/root/usr" -E PYTHONPATH="$top:$here/site" -E NUMBA_CACHE_DIR="$here/numba" \\
  "$here/root/usr/bin/python3.11" "\$@"
END
  chmod +x "$here/python"
  touch "$here/ready"
fi

exec "$here/python" -c "
import multiprocessing, sys, pytest
multiprocessing.set_executable('$here/python')
sys.exit(pytest.main(['-p', 'no:cacheprovider', '-v', 'tests/test_silicon.py', 'tests/test_silicon_run.py']))"
