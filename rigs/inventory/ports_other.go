//go:build !linux

package inventory

import (
	"strconv"

	"go.bug.st/serial/enumerator"
)

// Ports returns the USB serial ports that are plugged in. Outside Linux there is
// no USB path, no interface and no board in DFU mode; on macOS the library needs
// cgo.
func Ports() ([]Port, error) {
	list, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, err
	}
	var ports []Port
	for _, d := range list {
		vendor, err1 := strconv.ParseUint(d.VID, 16, 16)
		product, err2 := strconv.ParseUint(d.PID, 16, 16)
		if !d.IsUSB || err1 != nil || err2 != nil {
			continue
		}
		ports = append(ports, Port{
			Name: d.Name, Vendor: uint16(vendor), Product: uint16(product),
			Serial: d.SerialNumber, Description: d.Product, Interface: -1,
		})
	}
	return ports, nil
}
