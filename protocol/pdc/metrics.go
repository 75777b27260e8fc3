package pdc

import (
	"encoding/binary"
	"strconv"
)

// A MetricID names one of the device's vitals (PDC-3.7).
type MetricID uint16

// The vitals of the system. The user's own begin at MetricUser.
const (
	MetricResetReason      MetricID = 1
	MetricFreeMemory       MetricID = 2
	MetricBatteryCharge    MetricID = 3
	MetricUptime           MetricID = 6 // seconds
	MetricBatteryState     MetricID = 7
	MetricNetworkStatus    MetricID = 8
	MetricNetworkError     MetricID = 9
	MetricCloudStatus      MetricID = 10
	MetricNetworkDrops     MetricID = 12
	MetricCloudError       MetricID = 13
	MetricCloudDrops       MetricID = 14
	MetricRSSI             MetricID = 19
	MetricRateLimited      MetricID = 20
	MetricRetransmits      MetricID = 21
	MetricUnacknowledged   MetricID = 22
	MetricTransmits        MetricID = 23
	MetricPowerSource      MetricID = 24
	MetricTotalRAM         MetricID = 25
	MetricUsedRAM          MetricID = 26
	MetricRoundTrip        MetricID = 31 // milliseconds
	MetricSignalStrength   MetricID = 33
	MetricSignalQuality    MetricID = 34
	MetricAccessTechnology MetricID = 36
	MetricUser             MetricID = 0x8000

	metricError  = 0x8000 // bit of the id: the value is an error
	metricSystem = 60     // the highest known system id
)

// A Metric is one vital, or the error of reading it.
type Metric struct {
	ID    MetricID
	Value int32
	// Failed is true when Value is a [SystemError].
	Failed bool
}

// The layout of metrics: the binary marker, the type, and the sizes of ids and
// values, all little-endian.
const (
	metricsHeader = 1 + 2 + 2 + 2
	metricEntry   = 2 + 4
)

// ParseMetrics reads the payload of a metrics describe. An id with bit 15 whose
// other bits are those of a known vital of the system is that vital, failed;
// with other bits it is the user's own, so that the two cannot be told apart
// for ids that the system gets later.
func ParseMetrics(b []byte) ([]Metric, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < metricsHeader || b[0] != 0 || le.Uint16(b[1:]) != uint16(DescribeMetrics):
		return nil, fault(KindDescribeResponse, "PDC-3.7", "not a metrics describe")
	case le.Uint16(b[3:]) != 2 || le.Uint16(b[5:]) != 4:
		return nil, fault(KindDescribeResponse, "PDC-3.7", "ids are not of 2 or values not of 4 bytes")
	case (len(b)-metricsHeader)%metricEntry != 0:
		return nil, fault(KindDescribeResponse, "PDC-3.7", "last entry truncated")
	}
	var metrics []Metric
	for b = b[metricsHeader:]; len(b) > 0; b = b[metricEntry:] {
		m := Metric{ID: MetricID(le.Uint16(b)), Value: int32(le.Uint32(b[2:]))}
		if low := m.ID &^ metricError; m.ID&metricError != 0 && low >= 1 && low <= metricSystem {
			m.ID, m.Failed = low, true
		}
		metrics = append(metrics, m)
	}
	return metrics, nil
}

// AppendMetrics appends the payload of a metrics describe to b.
func AppendMetrics(b []byte, metrics []Metric) []byte {
	le := binary.LittleEndian
	b = append(b, 0)
	b = le.AppendUint16(b, uint16(DescribeMetrics))
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 4)
	for _, m := range metrics {
		id := m.ID
		if m.Failed {
			id |= metricError
		}
		b = le.AppendUint16(b, uint16(id))
		b = le.AppendUint32(b, uint32(m.Value))
	}
	return b
}

// String returns the name of the vital, its number when it has none here.
func (id MetricID) String() string {
	if name, ok := metricNames[id]; ok {
		return name
	}
	return strconv.Itoa(int(id))
}

// metricNames are those of the vitals that Device OS 6.2 reports.
var metricNames = map[MetricID]string{
	MetricResetReason: "last reset reason", MetricFreeMemory: "free memory",
	MetricBatteryCharge: "battery charge", 4: "application loop average", 5: "application loop longest",
	MetricUptime: "uptime", MetricBatteryState: "battery state",
	MetricNetworkStatus: "network status", MetricNetworkError: "network error",
	MetricCloudStatus: "cloud status", MetricNetworkDrops: "network disconnects",
	MetricCloudError: "cloud connection error", MetricCloudDrops: "cloud disconnects",
	15: "address", 16: "gateway", 17: "network flags", 18: "country code",
	MetricRSSI: "RSSI", MetricRateLimited: "rate-limited publishes",
	MetricRetransmits: "retransmitted messages", MetricUnacknowledged: "unacknowledged messages",
	MetricTransmits: "transmitted messages", MetricPowerSource: "power source",
	MetricTotalRAM: "total RAM", MetricUsedRAM: "used RAM",
	27: "network connection attempts", 28: "network disconnect reason",
	29: "cloud connection attempts", 30: "cloud disconnect reason",
	MetricRoundTrip: "round-trip time", MetricSignalStrength: "signal strength",
	MetricSignalQuality: "signal quality", 35: "signal quality value",
	MetricAccessTechnology: "access technology", 37: "signal strength value",
	40: "mobile country code", 41: "mobile network code", 42: "location area code", 43: "cell id",
	44: "cloud connection interface", 45: "alternative mobile country code",
	46: "alternative mobile network code", 47: "alternative location area code",
	48: "alternative cell id", 49: "alternative network identity", 60: "protected state",
}
