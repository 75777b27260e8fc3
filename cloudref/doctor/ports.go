package doctor

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// PortTaken reports whether an address, of network "udp4" or "tcp4", cannot be
// listened on, and by whom it is taken as far as the system tells.
func PortTaken(ctx context.Context, network string, a netip.AddrPort) (taken bool, by string) {
	var err error
	if network == "udp4" {
		var conn net.PacketConn
		if conn, err = (&net.ListenConfig{}).ListenPacket(ctx, network, a.String()); err == nil {
			conn.Close()
		}
	} else {
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(ctx, network, a.String()); err == nil {
			l.Close()
		}
	}
	if err == nil {
		return false, ""
	}
	return true, holder(strings.TrimSuffix(network, "4"), a.Port())
}

// holder names the process that has a port, "" if it is not to be found out.
func holder(protocol string, port uint16) string {
	for _, table := range []string{protocol, protocol + "6"} {
		for _, inode := range inodes("/proc/net/"+table, port, protocol == "tcp") {
			if who := processOf(inode); who != "" {
				return who
			}
		}
	}
	return ""
}

// inodes returns the sockets in a table of /proc/net that are bound to a port, of
// TCP only those that listen.
func inodes(table string, port uint16, listening bool) (list []string) {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
	const local, state, inode = 1, 3, 9
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) <= inode || listening && fields[state] != "0A" {
			continue
		}
		_, hex, _ := strings.Cut(fields[local], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(n) == port {
			list = append(list, fields[inode])
		}
	}
	return list
}

// processOf names the process that has a socket.
func processOf(inode string) string {
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, d := range descriptors {
		if target, err := os.Readlink(d); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		process := filepath.Dir(filepath.Dir(d))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil {
			return ""
		}
		return fmt.Sprintf("process %s (%s)", filepath.Base(process), strings.TrimSpace(string(name)))
	}
	return ""
}
