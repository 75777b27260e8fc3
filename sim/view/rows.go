package view

import "github.com/muster/muster/sim/record"

// rates are the lines of what happens each second: the sum of some counters.
var rates = []struct {
	name     string
	counters []record.Counter
	always   bool // shown when there were none, too
	bad      bool
}{
	{"handshakes", []record.Counter{record.Handshakes}, true, false},
	{"resumes", []record.Counter{record.Resumes}, true, false},
	{"connections ended", []record.Counter{record.Offline}, true, true},
	{"events acknowledged", []record.Counter{record.Published}, true, false},
	{"events failed", []record.Counter{record.PublishFailed}, false, true},
	{"events refused", []record.Counter{record.PublishRefused}, false, true}, // by the device itself
	{"events to devices", []record.Counter{record.EventsReceived}, false, false},
	{"keep-alives", []record.Counter{record.Pings}, false, false},
	{"calls over the API", []record.Counter{record.Calls}, false, false},
	{"calls failed", []record.Counter{record.CallsFailed}, false, true},
	{"updates applied", []record.Counter{record.UpdatesApplied}, false, false},
	{"updates failed", []record.Counter{record.UpdatesFailed}, false, true},
}

// timings are the lines of durations.
var timings = []struct {
	name  record.Timing
	label string
}{
	{record.ConnectTime, "to connect"},
	{record.PublishTime, "an event"},
	{record.DeliveryTime, "a delivery"},
	{record.CallTime, "a call"},
	{record.UpdateTime, "an update"},
}

// states are the parts of the bar of devices.
var states = []struct {
	level record.Level
	name  string
	style style
	rune  rune // told apart without colours, too
}{
	{record.Online, "online", good, '█'},
	{record.Updating, "updating", special, '▓'},
	{record.Sleeping, "asleep", calm, '▒'},
	{record.Connecting, "connecting", busy, '▓'},
	{record.Queued, "waiting", warn, '▒'},
	{record.Off, "off", dim, '░'},
}
