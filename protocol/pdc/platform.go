package pdc

import "strconv"

// A Platform is the platform id of a board, as it stands in Hello and in
// module headers (PDC-2.4).
type Platform uint16

// The platforms.
const (
	Core      Platform = 0
	GCC       Platform = 3 // the virtual device: Device OS built as a program
	Photon    Platform = 6
	P1        Platform = 8
	Electron  Platform = 10
	Argon     Platform = 12
	Boron     Platform = 13
	Xenon     Platform = 14
	ESoMX     Platform = 15
	ASoM      Platform = 22
	BSoM      Platform = 23
	B5SoM     Platform = 25
	Tracker   Platform = 26
	TrackerM  Platform = 28
	P2        Platform = 32
	MSoM      Platform = 35
	NewHAL    Platform = 60000
	platforms          = 17
)

// A Generation is a family of boards that the protocol treats alike.
type Generation uint8

// The generations. GCC and NewHAL count as none of Particle's hardware.
const (
	NoGeneration Generation = iota
	Gen1                    // Core
	Gen2                    // STM32F2: Photon, P1, Electron
	Gen3NRF                 // nRF52840
	Gen3RTL                 // RTL872x
)

// platformTable has one row a platform, ascending by id.
var platformTable = [platforms]struct {
	id         Platform
	name       string
	generation Generation
	cellular   bool
}{
	{Core, "core", Gen1, false},
	{GCC, "gcc", NoGeneration, false},
	{Photon, "photon", Gen2, false},
	{P1, "p1", Gen2, false},
	{Electron, "electron", Gen2, true},
	{Argon, "argon", Gen3NRF, false},
	{Boron, "boron", Gen3NRF, true},
	{Xenon, "xenon", Gen3NRF, false},
	{ESoMX, "esomx", Gen3NRF, true},
	{ASoM, "asom", Gen3NRF, false},
	{BSoM, "bsom", Gen3NRF, true},
	{B5SoM, "b5som", Gen3NRF, true},
	{Tracker, "tracker", Gen3NRF, true},
	{TrackerM, "trackerm", Gen3RTL, true},
	{P2, "p2", Gen3RTL, false},
	{MSoM, "msom", Gen3RTL, true},
	{NewHAL, "newhal", NoGeneration, false},
}

// String returns the name of the platform in lower case, its number when it is
// unknown.
func (p Platform) String() string {
	for i := range platformTable {
		if platformTable[i].id == p {
			return platformTable[i].name
		}
	}
	return strconv.Itoa(int(p))
}

// ParsePlatform returns the platform of the given name (as [Platform.String]
// prints it) or decimal number.
func ParsePlatform(s string) (Platform, bool) {
	for i := range platformTable {
		if platformTable[i].name == s {
			return platformTable[i].id, true
		}
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return Platform(n), err == nil
}

// Generation returns the family of the platform, NoGeneration for GCC, NewHAL
// and unknown ids.
func (p Platform) Generation() Generation {
	for i := range platformTable {
		if platformTable[i].id == p {
			return platformTable[i].generation
		}
	}
	return NoGeneration
}

// Gen3 reports whether the platform is of the third generation or later: the
// ones with OTA protocol v3 and compressed modules.
func (p Platform) Gen3() bool {
	g := p.Generation()
	return g == Gen3NRF || g == Gen3RTL
}

// Cellular reports whether the board's main interface is a modem.
func (p Platform) Cellular() bool {
	for i := range platformTable {
		if platformTable[i].id == p {
			return platformTable[i].cellular
		}
	}
	return false
}

// DefaultUDP reports whether boards of the platform speak DTLS over UDP unless
// they are configured otherwise: Core, Photon, P1 and GCC speak AES over TCP.
func (p Platform) DefaultUDP() bool {
	return p != Core && p != GCC && p != Photon && p != P1
}
