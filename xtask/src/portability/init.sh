#!/bin/busybox sh
# Process 1 of the second host: loads KVM, puts a layer of its own over the first machine's file system, and runs the
# steps in there.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /host /layer /new
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ip link set lo up
while read -r module; do insmod "/lib/modules/$module.ko"; done < /lib/modules/order
echo 1 > /proc/sys/vm/unprivileged_userfaultfd

mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose,ro host /host &&
    mount -t tmpfs layer /layer &&
    mkdir /layer/upper /layer/work &&
    mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /new || poweroff -f
for kind in proc:proc sysfs:sys devtmpfs:dev devpts:dev/pts tmpfs:run tmpfs:dev/shm; do
    mkdir -p "/new/${kind#*:}"
    mount -t "${kind%%:*}" none "/new/${kind#*:}"
done
cp -r /portability /new/run/portability
ulimit -n 20000
chroot /new /bin/sh /run/portability/steps.sh < /dev/null
poweroff -f
