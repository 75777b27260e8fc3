package rigs

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// udevRules are what Linux must be told so that people may use boards: their consoles,
// their control endpoint and their DFU mode. ModemManager takes consoles for modems,
// sends them AT commands and keeps them busy, for seconds after each restart.
const udevRules = `# Particle boards: for the group %[1]s and whoever sits at the machine, and not for ModemManager.
# Written by "muster rig udev". This file's number must be lower than 73, for uaccess.
SUBSYSTEMS=="usb", ATTRS{idVendor}=="2b04", ATTRS{idProduct}=="[cd]0[0-9a-f][0-9a-f]", GROUP="%[1]s", MODE="0660", TAG+="uaccess", ENV{ID_MM_DEVICE_IGNORE}="1", ENV{ID_MM_PORT_IGNORE}="1"
SUBSYSTEMS=="usb", ATTRS{idVendor}=="1d50", ATTRS{idProduct}=="607[df]", GROUP="%[1]s", MODE="0660", TAG+="uaccess", ENV{ID_MM_DEVICE_IGNORE}="1", ENV{ID_MM_PORT_IGNORE}="1"
`

// isGroup is a name that groups may have on Linux.
var isGroup = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

func udevCommand() *cobra.Command {
	var group string
	cmd := &cobra.Command{
		Use:   "udev",
		Short: "Prints the udev rules that let people use boards, and keep ModemManager away",
		Long: `Prints the rules that let the people of a group, and whoever sits at the machine, use Particle boards: their
consoles, control requests and DFU mode. They tell ModemManager too that boards are no modems: it sends AT commands
to new serial ports otherwise, and keeps them busy. They take the place of Particle's own; having both does no harm.

What they do not give is the right to switch hub ports, which is root's.`,
		Example: `  muster rig udev | sudo tee /etc/udev/rules.d/60-muster.rules
  sudo udevadm control --reload && sudo udevadm trigger
  sudo usermod -a -G plugdev $USER        # and log in again`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !isGroup.MatchString(group) {
				return &usageError{fmt.Errorf("--group %q: that is no name of a group", group)}
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), udevRules, group)
			return err
		},
	}
	cmd.Flags().StringVar(&group, "group", "plugdev", "the group that may use boards; it must exist")
	return cmd
}

// onWSL is for those who look for boards where Windows has them.
const onWSL = `This is WSL, where Windows has the USB devices: "usbipd list" and
"usbipd attach --wsl --busid BUSID" on Windows give it a board, anew after each restart
of the board unless "--auto-attach" is given.
`

// isWSL reports whether a kernel, as /proc/version tells it, is that of WSL.
func isWSL(version string) bool { return strings.Contains(strings.ToLower(version), "microsoft") }
