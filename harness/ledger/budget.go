package ledger

import (
	"strconv"
	"strings"
)

// The budgets, in bytes with IPv4 headers.
const (
	// ResumeCID is what a resume costs from Device OS 3.1 on, where records carry
	// a connection id; ResumeTrailer before, where they carry a device id.
	ResumeCID     = 142
	ResumeTrailer = 135
	// ConnectMax is what a full connection may cost.
	ConnectMax = 5 << 10
	// PublishMax is what a publish of PublishData bytes may cost.
	PublishMax  = 200
	PublishData = 20
)

// Budget returns what an occurrence of a phase may cost with a release of Device
// OS such as "3.1.0", in bytes, and whether it must cost exactly that when nothing
// is lost. 0 is no budget: a resume with a Hello has none, for the promise of less
// than 200 bytes is one about the ping. That of Publish holds for events of at most
// PublishData bytes.
func Budget(ph Phase, deviceOS, transport string) (bytes int, exact bool) {
	switch ph {
	case Resume:
		if transport != "udp" {
			return 0, false
		}
		if hasCID(deviceOS) {
			return ResumeCID, true
		}
		return ResumeTrailer, true
	case Connect:
		return ConnectMax, false
	case Publish:
		return PublishMax, false
	default: // not bounded by any document
		return 0, false
	}
}

// hasCID reports whether the release is 3.1 or later.
func hasCID(deviceOS string) bool {
	major, rest, _ := strings.Cut(strings.TrimPrefix(deviceOS, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, err := strconv.Atoi(major)
	y, _ := strconv.Atoi(minor)
	return err == nil && (x > 3 || x == 3 && y >= 1)
}
