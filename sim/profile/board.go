package profile

import (
	"time"

	"github.com/muster/muster/protocol/pdc"
)

// A Board is a kind of hardware, or a build of the virtual device.
type Board struct {
	// Name is the first half of a profile's name, in lower case.
	Name string

	// Platform is the id that Hello and module headers carry.
	Platform pdc.Platform

	// UDP is true for DTLS over UDP, false for AES over TCP (TRN-0.3).
	UDP bool

	// Since and Until bound the releases that exist for the board, as system
	// module versions; Until is exclusive, 0 for "still supported".
	Since, Until uint16

	// MaxBinary is the size in bytes of the area that receives updates.
	MaxBinary uint32

	// Virtual is true for the gcc virtual device: no Goodbye, no reset reason,
	// no key restore, every image valid (PDC-12, captures).
	Virtual bool

	// OTA3 gives the virtual device OTA protocol v3, which its ordinary build
	// lacks. Real boards have it from Device OS 3.0 on (PDC-6.1).
	OTA3 bool

	// ForgetsPartial is true when an interrupted v3 update always starts again
	// at offset 0: the virtual device cannot read its storage back (captures).
	ForgetsPartial bool

	// NCP is true for boards whose network processor is updated separately;
	// they get smaller ChunkMissed lists and longer flash timeouts (PDC-6.2).
	NCP bool

	// FixedPort is true when the board always sends from UDP port 5684
	// (TRN-6.5).
	FixedPort bool
}

// Cellular reports whether the main interface is a modem.
func (b *Board) Cellular() bool { return b.Platform.Cellular() }

// Sizes of the update areas, in bytes (PDC-7.5, captures).
const (
	slotNRF = 1_536_000
	slotRTL = 1_572_864
	// slotGen2 is the external half of the STM32F205's flash that stages
	// updates: simulator's choice, PDC-13 does not tabulate it.
	slotGen2 = 0x60000
	// The virtual device's area grew from 100 KiB to 10 MiB between 3.1.0 and
	// 6.2.0 (captures).
	slotGCC    = 102_400
	slotGCC6_2 = 10 << 20
)

// boards is in the order of platform ids; the virtual builds come last. Since
// and Until are the first and last series that exist for the board (TRN-0.3,
// PDC-2.4); where neither says, the Particle release notes do.
var boards = []Board{
	{Name: "core", Platform: pdc.Core, Since: pdc.OS0_5, Until: pdc.OS1_5, MaxBinary: 108 << 10},
	{Name: "photon", Platform: pdc.Photon, Since: pdc.OS0_5, Until: pdc.OS4_0, MaxBinary: slotGen2},
	{Name: "p1", Platform: pdc.P1, Since: pdc.OS0_5, Until: pdc.OS4_0, MaxBinary: slotGen2},
	{Name: "electron", Platform: pdc.Electron, UDP: true, Since: pdc.OS0_5, Until: pdc.OS4_0, MaxBinary: slotGen2, FixedPort: true},
	{Name: "argon", Platform: pdc.Argon, UDP: true, Since: pdc.OS1_2, MaxBinary: slotNRF, NCP: true},
	{Name: "boron", Platform: pdc.Boron, UDP: true, Since: pdc.OS1_2, MaxBinary: slotNRF},
	{Name: "xenon", Platform: pdc.Xenon, UDP: true, Since: pdc.OS1_2, Until: pdc.OS2_0, MaxBinary: slotNRF},
	{Name: "esomx", Platform: pdc.ESoMX, UDP: true, Since: pdc.OS3_0, MaxBinary: slotNRF},
	{Name: "asom", Platform: pdc.ASoM, UDP: true, Since: pdc.OS1_2, Until: pdc.OS2_0, MaxBinary: slotNRF, NCP: true},
	{Name: "bsom", Platform: pdc.BSoM, UDP: true, Since: pdc.OS1_2, MaxBinary: slotNRF},
	{Name: "b5som", Platform: pdc.B5SoM, UDP: true, Since: pdc.OS1_5, MaxBinary: slotNRF},
	{Name: "tracker", Platform: pdc.Tracker, UDP: true, Since: pdc.OS1_5, MaxBinary: slotNRF, NCP: true},
	{Name: "trackerm", Platform: pdc.TrackerM, UDP: true, Since: pdc.OS5_5, MaxBinary: slotRTL},
	{Name: "p2", Platform: pdc.P2, UDP: true, Since: pdc.OS5_0, MaxBinary: slotRTL},
	{Name: "msom", Platform: pdc.MSoM, UDP: true, Since: pdc.OS5_5, MaxBinary: slotRTL},

	// The virtual device defaults to TCP for platform 3 and can be told to use
	// UDP (TRN-6.7).
	{Name: "gcc", Platform: pdc.GCC, Since: pdc.OS0_5, MaxBinary: slotGCC, Virtual: true, ForgetsPartial: true},
	{Name: "gcc-udp", Platform: pdc.GCC, UDP: true, Since: pdc.OS0_5, MaxBinary: slotGCC, Virtual: true, ForgetsPartial: true},
	// Two special builds that were recorded: OTA protocol v3 switched on, and
	// reading back what was received besides.
	{Name: "gcc-udp-ota3", Platform: pdc.GCC, UDP: true, Since: pdc.OS6_2, MaxBinary: slotGCC, Virtual: true, OTA3: true, ForgetsPartial: true},
	{Name: "gcc-udp-ota3r", Platform: pdc.GCC, UDP: true, Since: pdc.OS6_2, MaxBinary: slotGCC, Virtual: true, OTA3: true},
}

// Boards returns the table of boards. Callers must not change it.
func Boards() []Board { return boards }

// BootTime is from power or reset to the first attempt to connect. Recorded on
// the virtual device; real boards take longer, most of it in the network.
const BootTime = time.Second
