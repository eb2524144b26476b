# Runs every test program and the HTTP check, and reports each on the second serial line.
. /run/portability/environment
export RUST_BACKTRACE=1 TMPDIR=/run/portability/tmp
mkdir -p "$TMPDIR"

# One VM with a vCPU stays for the whole run. The kernel rewrites its own scheduler code when the first VM comes and
# when the last one goes (static keys), and QEMU's emulator, with two processors, now and then keeps running the old code:
# it then hangs in a breakpoint that is no longer there.
python3 -c '
import fcntl, os, signal
kvm = os.open("/dev/kvm", os.O_RDWR)
machine = fcntl.ioctl(kvm, 0xAE01, 0)
processor = fcntl.ioctl(machine, 0xAE41, 0)
signal.pause()
' &

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
