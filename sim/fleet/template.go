package fleet

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// A Template makes the Configs of a fleet: one for each profile, which all
// devices with it share.
type Template struct {
	// Keys of the devices. Required.
	Keys *Keys
	// EC and RSA are the keys of the cloud that devices over UDP and over TCP
	// pin. Required for the transports that there are.
	EC  *ecdsa.PublicKey
	RSA *rsa.PublicKey
	// App is the application of all devices; nil has nothing.
	App *device.App
	// Seed is the run's seed.
	Seed uint64
	// Seeded makes handshakes from Seed too, for runs in virtual time. Else they
	// are made from crypto/rand.
	Seeded bool
	// Server names the cloud.
	Server string
	// Edit, if not nil, changes a Config before it is used.
	Edit func(*device.Config)

	configs map[profile.Profile]*device.Config
}

// Config returns the Config of the devices with a profile.
func (t *Template) Config(p *profile.Profile) *device.Config {
	if c := t.configs[*p]; c != nil {
		return c
	}
	c := &device.Config{Profile: p, Key: t.Keys.Get, App: t.App, Seed: t.Seed, Server: t.Server}
	if p.Board.UDP {
		c.CloudKey = t.EC
	} else {
		c.CloudKey = t.RSA
	}
	if !t.Seeded {
		c.Rand = rand.Reader
	}
	if t.Edit != nil {
		t.Edit(c)
	}
	if t.configs == nil {
		t.configs = make(map[profile.Profile]*device.Config)
	}
	t.configs[*p] = c
	return c
}

// idPrefix is what the ids of many real boards begin with.
var idPrefix = [4]byte{0xe0, 0x0f, 0xce, 0x68}

// ID returns the id of device n of a fleet: a prefix that real boards have, four
// bytes that tell fleets apart, and n.
func ID(fleet uint32, n int) (id device.ID) {
	copy(id[:], idPrefix[:])
	binary.BigEndian.PutUint32(id[4:], fleet)
	binary.BigEndian.PutUint32(id[8:], uint32(n))
	return id
}
