package fakerig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// udevadm is what Particle's CLI, and everything else that uses Node's serialport,
// asks for serial ports. It tells those of the bench as the real one tells a
// machine's; what else it is asked, the real one answers.
const udevadm = `#!/bin/sh
case "$1 $2" in
"info -e" | "info --export-db") ;;
*) exec %[2]s "$@" ;;
esac
for tty in %[1]s/sys/bus/usb/devices/*/*:*/tty/*; do
	interface=${tty%%/tty/*}
	device=${interface%%/*}
	name=${tty##*/}
	[ -e "$tty/dev" ] || continue
	serial=$(cat "$device/serial")
	cat <<END
P: /devices/usb/${device##*/}/${interface##*/}/tty/$name
N: $name
E: DEVNAME=%[1]s/dev/$name
E: SUBSYSTEM=tty
E: ID_BUS=usb
E: ID_VENDOR=Particle
E: ID_VENDOR_ENC=Particle
E: ID_VENDOR_ID=$(cat "$device/idVendor")
E: ID_MODEL_ID=$(cat "$device/idProduct")
E: ID_SERIAL=Particle_$serial
E: ID_SERIAL_SHORT=$serial
E: ID_USB_INTERFACE_NUM=$(cat "$interface/bInterfaceNumber")
E: ID_MM_DEVICE_IGNORE=1

END
done
`

// writeUdevadm writes it into the folder of the bench, which comes first in the
// PATH of those who work on it.
func (b *Bench) writeUdevadm() error {
	real, err := exec.LookPath("udevadm")
	if err != nil {
		real = "false"
	}
	script := fmt.Sprintf(udevadm, b.dir, real)
	return os.WriteFile(filepath.Join(b.dir, "udevadm"), []byte(script), 0o755) //nolint:gosec // a program that others may run too
}
