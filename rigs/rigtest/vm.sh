#!/usr/bin/env bash
# Runs TestOnRealBus in a virtual machine: a kernel of Debian with vhci-hcd, the
# fake board behind USB/IP, our code and the real dfu-util before it. Nothing is
# installed and no network is used once the packages are here.
#
#   apt-get install qemu-system-x86 busybox-static cpio dfu-util
#   rigs/rigtest/vm.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

work=${WORK:-$(mktemp -d)}
for program in qemu-system-x86_64 busybox cpio dfu-util apt-get dpkg-deb; do
  command -v "$program" >/dev/null || { echo "vm.sh: $program is missing: apt-get install qemu-system-x86 busybox-static cpio dfu-util" >&2; exit 2; }
done

if [ ! -d "$work/kernel" ]; then
  kernel() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1; }
  fetch() { package=$(kernel) && [ -n "$package" ] && (cd "$work" && apt-get -o Acquire::Retries=5 download -qq "$package"); }
  fetch || { apt-get -o Acquire::Retries=5 update -qq && fetch; } # no list of packages yet, or an old one
  dpkg-deb -x "$work/$package"_*.deb "$work/kernel"
fi
vmlinuz=$(ls "$work"/kernel/boot/vmlinuz-*)

root=$work/root
rm -rf "$root"
mkdir -p "$root"/{bin,proc,sys,dev,tmp,etc,modules,lib,lib64}
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$(command -v dfu-util)" "$root/bin/"
for lib in $(ldd "$(command -v dfu-util)" | grep -o '/[^ ]*'); do
  mkdir -p "$root$(dirname "$lib")"
  cp -L "$lib" "$root$lib"
done
for module in usb-common usbcore usbip-core vhci-hcd; do
  find -L "$work/kernel" -name "$module.ko*" -exec cp {} "$root/modules/" \;
done
CGO_ENABLED=0 go test -c -o "$root/test" .
cat > "$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
ip link set lo up
for m in usb-common usbcore usbip-core vhci-hcd; do
  if [ -f /modules/$m.ko.xz ]; then xz -d /modules/$m.ko.xz; fi
  insmod /modules/$m.ko || echo "insmod $m failed"
done
MUSTER_REQUIRE_USBIP=1 /test -test.run "${RUN:-TestOnRealBus}" -test.v -test.timeout 14m && echo VM-TEST-PASSED
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initramfs"

accel=${ACCEL:-tcg} # ACCEL=kvm where that works; nested it may hang
timeout 1200 qemu-system-x86_64 -accel "$accel" -m 1024 -nographic -no-reboot -nic none \
  -kernel "$vmlinuz" -initrd "$work/initramfs" -append "console=ttyS0 quiet panic=-1" 2>&1 | tee "$work/log"
grep -q VM-TEST-PASSED "$work/log"
