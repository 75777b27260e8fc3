package dtls

import (
	"encoding/binary"
)

// appendTrailer appends what follows a record of type 254.
func appendTrailer(b []byte, id *[DeviceIDSize]byte) []byte {
	return append(append(b, id[:]...), DeviceIDSize)
}

// splitTrailer splits a datagram of type 254 into its record and the device id.
// The record must fill the rest exactly, because the id is not authenticated
// and its length is the only check there is.
func splitTrailer(datagram []byte) (rec []byte, id [DeviceIDSize]byte, ok bool) {
	n := len(datagram) - trailerSize
	if n < headerSize || datagram[0] != byte(TypeMovedTrailer) || datagram[len(datagram)-1] != DeviceIDSize {
		return nil, id, false
	}
	if int(binary.BigEndian.Uint16(datagram[headerSize-2:])) != n-headerSize {
		return nil, id, false
	}
	copy(id[:], datagram[n:])
	return datagram[:n:n], id, true
}
