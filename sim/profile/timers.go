package profile

import (
	"time"

	"github.com/muster/muster/protocol/pdc"
)

// PingInterval returns how long the device hears nothing before it pings
// (TRN-5.1).
func (p *Profile) PingInterval() time.Duration {
	switch {
	case p.Board.Virtual && p.AtLeast(pdc.OS4_0):
		// Recorded at 6.2.0, over both transports.
		return 25 * time.Second
	case !p.Board.UDP:
		return 15 * time.Second
	case p.Board.Virtual || p.Board.Cellular():
		// Recorded on gcc at 1.4.4, 2.3.0 and 3.1.0: 1380 s.
		return 23 * time.Minute
	case p.AtLeast(pdc.OS3_0):
		return 25 * time.Second
	}
	return 30 * time.Second
}

// PingTimeout returns how long after a ping anything must arrive (TRN-5.1).
func (p *Profile) PingTimeout() time.Duration {
	if p.Board.UDP {
		return 30 * time.Second
	}
	return 10 * time.Second
}

// HelloTimeout returns how long a TCP device waits for the cloud's Hello
// (PDC-1.1): 4 s, 2 s in the Core's library.
func (p *Profile) HelloTimeout() time.Duration {
	if p.Board.Platform == pdc.Core {
		return 2 * time.Second
	}
	return 4 * time.Second
}

// DisconnectTimeout returns how long an orderly disconnect waits for
// acknowledgements (TRN-5.6).
func (p *Profile) DisconnectTimeout() time.Duration {
	if p.Board.UDP {
		return time.Minute
	}
	return 5 * time.Second
}

// UpdateTimeout returns how long a legacy update may stand still before the
// device restarts (PDC-6.2). Between 0.6 and 1.x no source tells and the values
// of 0.5 are assumed.
func (p *Profile) UpdateTimeout() time.Duration {
	slow := p.Board.Cellular() || p.Board.NCP
	switch {
	case p.AtLeast(pdc.OS2_0) && (slow || p.Board.Virtual):
		return 300 * time.Second
	case slow:
		return 90 * time.Second
	}
	return 30 * time.Second
}
