# Runs every test program and the HTTP check, and reports each on the second serial line.
. /run/portability/environment
export RUST_BACKTRACE=1 TMPDIR=/run/portability/tmp
mkdir -p "$TMPDIR"

step() {
    name=$1
    shift
    echo "== $name"
    "$@" < /dev/null
    code=$?
    echo "== $name: exit $code"
    echo "$name $code" > /dev/ttyS1
}

while IFS='	' read -r name directory program; do
    cd "$directory" && step "$name" "$program" --color never
done < /run/portability/tests
step http sh /run/portability/http.sh
