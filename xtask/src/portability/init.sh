#!/bin/busybox sh
# Process 1 of the second host: loads KVM, runs every test program and the HTTP check, reports each on the second
# serial line, switches off.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp SPORE_CACHE=/spore/cache RUST_BACKTRACE=1
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
ip link set lo up
while read -r module; do insmod "/lib/modules/$module.ko"; done < /lib/modules/order
echo 1 > /proc/sys/vm/unprivileged_userfaultfd
ulimit -n 20000

step() {
    name=$1
    shift
    echo "== $name"
    "$@" < /dev/null
    code=$?
    echo "== $name: exit $code"
    echo "$name $code" > /dev/ttyS1
}

cd /tmp || poweroff -f
for program in /spore/tests/*; do step "${program##*/}" "$program" --test-threads 1; done
step http /spore/http.sh
poweroff -f
