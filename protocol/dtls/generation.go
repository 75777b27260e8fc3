package dtls

// resolve replaces the default.
func (g Generation) resolve() Generation {
	if g == GenDefault {
		return GenF
	}
	return g
}

// resolve replaces the default by the mark of the newest release of generation g.
func (m Mark) resolve(g Generation) Mark {
	switch {
	case m != MarkDefault:
		return m
	case g.resolve() == GenF:
		return Mark253
	default:
		return Mark254
	}
}

// A habit is what differs between the generations in a handshake.
type habit struct {
	// algorithms offered, in the order of the wire.
	algorithms []uint16
	cid        bool // offers extension 254
	packed     bool // sends a flight in as few datagrams as fit
	alerts     bool // tells the peer why it fails
	sha1       bool // takes a server signature with SHA-1
	timers     Timers
}

// SignatureAlgorithmsNoRSA is what a Device OS offers that is built without
// RSA: generation A, and Trackers from 5.8 on.
var SignatureAlgorithmsNoRSA = []uint16{0x0403, 0x0303}

// habits are the generations' habits.
//
// Device OS: seen in client builds of each generation.
var habits = [...]habit{
	GenA: {algorithms: SignatureAlgorithmsNoRSA, timers: EarlyDeviceTimers},
	GenB: {algorithms: []uint16{0x0403, 0x0401, 0x0303, 0x0301, 0x0203, 0x0201}, timers: EarlyDeviceTimers, sha1: true},
	GenC: {algorithms: withRSA, timers: EarlyDeviceTimers, alerts: true},
	GenD: {algorithms: withRSA, timers: DeviceTimers, alerts: true, packed: true},
	GenE: {algorithms: withRSA, timers: DeviceTimers, alerts: true, packed: true},
	GenF: {algorithms: withRSA, timers: DeviceTimers, alerts: true, packed: true, cid: true},
}

var withRSA = []uint16{0x0403, 0x0401, 0x0303, 0x0301}

// standardHabit is that of a Client in the profile Standard.
var standardHabit = habit{algorithms: []uint16{0x0403}, timers: DeviceTimers, alerts: true, packed: true}

// habit returns the habits of the client that c configures.
func (c *ClientConfig) habit() habit {
	h := standardHabit
	if c.Profile == DeviceOS {
		h = habits[c.Gen.resolve()]
	}
	if c.SignatureAlgorithms != nil {
		h.algorithms = c.SignatureAlgorithms
	}
	if c.Timers.Initial > 0 {
		h.timers.Initial = c.Timers.Initial
	}
	if c.Timers.Max > 0 {
		h.timers.Max = c.Timers.Max
	}
	return h
}
