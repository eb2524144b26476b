# Runs a script with the tree ROOT as its root, in namespaces of its own: what `spore run --image ROOT` is natively.
# Arguments: ROOT, the script. Devices are made; who may not make any borrows those of this machine. Who runs it in a VM sets the same environment.
set -e
root=$1 script=$2
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9; do
    IFS=: read -r name major minor <<EOF
$device
EOF
    mknod -m 666 "$root/dev/$name" c "$major" "$minor" 2>/dev/null || {
        : >"$root/dev/$name"
        mount --bind "/dev/$name" "$root/dev/$name"
    }
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t proc proc "$root/proc"
cd /
chroot "$root" /bin/busybox ifconfig lo up
exec chroot "$root" /bin/busybox env -i HOME=/tmp LANG=C PATH=/usr/sbin:/usr/bin TZ=UTC0 /bin/sh -c "cd /tmp; $script"
