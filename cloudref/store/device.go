package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// A device record is a fixed head, which every start reads a million times, and
// a tail in JSON, which is read for one device at a time:
//
//	0   1   version, 1
//	1   2   flags, big-endian
//	3   12  owner
//	15  32  fingerprint of the P-256 key, zero if none
//	47  32  fingerprint of the RSA key, zero if none
//	79  …   deviceTail as JSON
const (
	deviceVersion = 1
	deviceHeadLen = 79
)

// A head is what the directory needs of a device record.
type head struct {
	id    DeviceID
	owner AccountID
	flags DeviceFlags
	keys  [2]Fingerprint // P256, RSA
}

type deviceTail struct {
	Name           string    `json:"name,omitempty"`
	P256           []byte    `json:"p256,omitempty"`
	RSA            []byte    `json:"rsa,omitempty"`
	Notes          string    `json:"notes,omitempty"`
	Serial         string    `json:"serial,omitempty"`
	Platform       uint16    `json:"platform,omitempty"`
	Product        uint16    `json:"product,omitempty"`
	ProductVersion uint16    `json:"product_version,omitempty"`
	Created        time.Time `json:"created,omitzero"`
	Claimed        time.Time `json:"claimed,omitzero"`
	LastHandshake  time.Time `json:"last_handshake,omitzero"`
	LastHeard      time.Time `json:"last_heard,omitzero"`
	LastAddress    string    `json:"last_address,omitempty"`
}

func (d *Device) head() head {
	return head{
		id: d.ID, owner: d.Owner, flags: d.Flags,
		keys: [2]Fingerprint{FingerprintOf(d.P256), FingerprintOf(d.RSA)},
	}
}

func (d *Device) append(b []byte, h head) []byte {
	b = append(b, deviceVersion, byte(h.flags>>8), byte(h.flags))
	b = append(b, h.owner[:]...)
	b = append(b, h.keys[0][:]...)
	b = append(b, h.keys[1][:]...)
	tail, err := json.Marshal(deviceTail{
		Name: d.Name, P256: d.P256, RSA: d.RSA, Notes: d.Notes, Serial: d.Serial,
		Platform: d.Platform, Product: d.Product, ProductVersion: d.ProductVersion,
		Created: d.Created, Claimed: d.Claimed,
		LastHandshake: d.LastHandshake, LastHeard: d.LastHeard, LastAddress: d.LastAddress,
	})
	if err != nil {
		panic(fmt.Sprintf("store: encoding a device: %v", err)) // a year beyond 9999
	}
	return append(b, tail...)
}

// parseHead decodes the head of the record of device id.
func parseHead(id DeviceID, b []byte) (head, error) {
	if err := checkVersion("device", b, deviceVersion, deviceHeadLen); err != nil {
		return head{}, err
	}
	return head{
		id:    id,
		flags: DeviceFlags(b[1])<<8 | DeviceFlags(b[2]),
		owner: AccountID(b[3:15]),
		keys:  [2]Fingerprint{Fingerprint(b[15:47]), Fingerprint(b[47:79])},
	}, nil
}

// parseDevice decodes the whole record of device id.
func parseDevice(id DeviceID, e entry) (*Device, error) {
	h, err := parseHead(id, e.value)
	if err != nil {
		return nil, err
	}
	var t deviceTail
	if err := json.Unmarshal(e.value[deviceHeadLen:], &t); err != nil {
		return nil, fmt.Errorf("store: device record: %w", err)
	}
	d := &Device{
		ID: id, Owner: h.owner, Flags: h.flags, Name: t.Name, P256: t.P256, RSA: t.RSA,
		Notes: t.Notes, Serial: t.Serial,
		Platform: t.Platform, Product: t.Product, ProductVersion: t.ProductVersion,
		Created: t.Created, Claimed: t.Claimed,
		LastHandshake: t.LastHandshake, LastHeard: t.LastHeard, LastAddress: t.LastAddress,
		Revision: e.revision,
	}
	if d.head() != h {
		return nil, fmt.Errorf("store: device record: the keys do not have the fingerprints")
	}
	return d, nil
}

// checkVersion says whether b can be a record of the given version, of at least
// n bytes.
func checkVersion(what string, b []byte, version byte, n int) error {
	switch {
	case len(b) == 0:
		return fmt.Errorf("store: %s record: empty", what)
	case b[0] > version:
		return fmt.Errorf("store: %s record of version %d: %w", what, b[0], ErrNewer)
	case b[0] != version || len(b) < n:
		return fmt.Errorf("store: %s record: malformed", what)
	}
	return nil
}
