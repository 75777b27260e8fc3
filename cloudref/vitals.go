package cloudref

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// AskVitals implements api.Cloud.
func (c *Cloud) AskVitals(id store.DeviceID) {
	if _, elsewhere := c.elsewhere(id); elsewhere {
		c.tell(tale{Vitals: id})
		return
	}
	c.askVitals(id)
}

// askVitalsHere asks a device for its vitals if it is at this node.
func (c *Cloud) askVitalsHere(id store.DeviceID) {
	if c.node.Holds(id) {
		c.askVitals(id)
	}
}

func (c *Cloud) askVitals(id store.DeviceID) {
	c.node.Command(id, func(now clock.Instant, d *app.Device, out *app.Out) { d.RequestVitals(now, 0, out) })
}

// takeVitals keeps what a device measured, and tells readers. It runs with the
// device locked.
func (c *Cloud) takeVitals(o endpoint.Observation, metrics []pdc.Metric) {
	payload, err := json.Marshal(vitals(metrics))
	if err != nil {
		panic(fmt.Sprintf("cloudref: encoding vitals: %v", err)) // strings and finite numbers
	}
	if !c.fleet.vitals.TryAcquire() {
		c.o.Log(fmt.Sprintf("device %s: its vitals are not kept: too many wait", o.Device))
	} else {
		c.fleet.done.Go(func() {
			defer c.fleet.vitals.Release()
			if err := c.store.AddVitals(c.fleet.ctx, o.Device, store.Vitals{At: c.Time(o.At).UTC(), Payload: payload}); err != nil && c.fleet.ctx.Err() == nil {
				c.o.Log(fmt.Sprintf("device %s: its vitals are not kept: %v", o.Device, err))
			}
		})
	}
	c.stream(o, pdc.EventDiagnosticsUpdate, payload)
}

// vitalsMax bounds the reports that wait to be stored.
const vitalsMax = 256

// A places bounds what is under way.
type places chan struct{}

// TryAcquire takes a place, if one is free.
func (p places) TryAcquire() bool {
	select {
	case p <- struct{}{}:
		return true
	default:
		return false
	}
}

// Release gives a place back.
func (p places) Release() { <-p }

// A tree is a JSON object of objects.
type tree map[string]any

func (t tree) put(value any, path ...string) {
	for _, name := range path[:len(path)-1] {
		next, ok := t[name].(tree)
		if !ok {
			next = tree{}
			t[name] = next
		}
		t = next
	}
	t[path[len(path)-1]] = value
}

// A vital says where a metric stands in the report, and how it reads.
type vital struct {
	path  []string
	value func(int32) any
}

func at(path ...string) []string { return path }

func plainly(v int32) any { return v }

// unsigned is a number of 32 bits that is never negative.
func unsigned(v int32) any { return uint32(v) }

// fixedPoint is a number with eight bits behind the point.
//
// Device OS: FixedPointUQ<8, 8> and FixedPointSQ<8, 8>
// (system/src/system_network_diagnostics.cpp).
func fixedPoint(v int32) any { return math.Round(float64(v)/256*100) / 100 }

// word reads a number as one of some words.
func word(words ...string) func(int32) any {
	return func(v int32) any {
		if v >= 0 && int(v) < len(words) {
			return words[v]
		}
		return strconv.Itoa(int(v))
	}
}

// vitalsByID says where the metrics stand that the API tells by name.
var vitalsByID = map[pdc.MetricID]vital{
	pdc.MetricUptime:           {at("device", "system", "uptime"), unsigned},
	pdc.MetricFreeMemory:       {at("device", "system", "memory", "free"), unsigned},
	pdc.MetricTotalRAM:         {at("device", "system", "memory", "total"), unsigned},
	pdc.MetricUsedRAM:          {at("device", "system", "memory", "used"), unsigned},
	pdc.MetricResetReason:      {at("device", "system", "reset", "reason"), plainly},
	pdc.MetricBatteryCharge:    {at("device", "power", "battery", "charge"), fixedPoint},
	pdc.MetricBatteryState:     {at("device", "power", "battery", "state"), word("unknown", "not charging", "charging", "charged", "discharging", "fault", "disconnected")},
	pdc.MetricPowerSource:      {at("device", "power", "source"), word("unknown", "VIN", "USB host", "USB adapter", "USB OTG", "battery")},
	pdc.MetricNetworkStatus:    {at("device", "network", "connection", "status"), word("turned off", "turning on", "turning off", "disconnected", "disconnecting", "connecting", "connected")},
	pdc.MetricNetworkError:     {at("device", "network", "connection", "error"), plainly},
	pdc.MetricNetworkDrops:     {at("device", "network", "connection", "disconnects"), unsigned},
	27:                         {at("device", "network", "connection", "attempts"), unsigned},
	28:                         {at("device", "network", "connection", "disconnect"), plainly},
	pdc.MetricRSSI:             {at("device", "network", "signal", "rssi"), plainly},
	pdc.MetricAccessTechnology: {at("device", "network", "signal", "at"), accessTechnology},
	pdc.MetricSignalStrength:   {at("device", "network", "signal", "strength"), fixedPoint},
	37:                         {at("device", "network", "signal", "strengthv"), fixedPoint},
	pdc.MetricSignalQuality:    {at("device", "network", "signal", "quality"), fixedPoint},
	35:                         {at("device", "network", "signal", "qualityv"), fixedPoint},
	pdc.MetricCloudStatus:      {at("device", "cloud", "connection", "status"), word("disconnected", "connecting", "connected", "disconnecting")},
	pdc.MetricCloudError:       {at("device", "cloud", "connection", "error"), plainly},
	29:                         {at("device", "cloud", "connection", "attempts"), unsigned},
	30:                         {at("device", "cloud", "connection", "disconnect"), plainly},
	pdc.MetricCloudDrops:       {at("device", "cloud", "disconnects"), unsigned},
	pdc.MetricRateLimited:      {at("device", "cloud", "publish", "rate_limited"), unsigned},
	pdc.MetricUnacknowledged:   {at("device", "cloud", "coap", "unack"), unsigned},
	pdc.MetricTransmits:        {at("device", "cloud", "coap", "transmit"), unsigned},
	pdc.MetricRetransmits:      {at("device", "cloud", "coap", "retransmit"), unsigned},
	pdc.MetricRoundTrip:        {at("service", "coap", "round_trip"), unsigned},
	40:                         {at("device", "network", "cellular", "cell_global_identity", "mobile_country_code"), plainly},
	41:                         {at("device", "network", "cellular", "cell_global_identity", "mobile_network_code"), plainly},
	42:                         {at("device", "network", "cellular", "cell_global_identity", "location_area_code"), unsigned},
	43:                         {at("device", "network", "cellular", "cell_global_identity", "cell_id"), unsigned},
}

// accessTechnology names how a device reaches its network.
//
// Device OS: hal_net_access_tech_t (hal/inc/net_hal.h).
func accessTechnology(v int32) any {
	if name, known := map[int32]string{
		1: "Wi-Fi", 2: "GSM", 3: "EDGE", 4: "UMTS", 5: "CDMA", 6: "LTE", 7: "IEEE 802.15.4", 8: "LTE Cat-M1", 9: "LTE Cat-NB1",
	}[v]; known {
		return name
	}
	return "unknown"
}

// signalUnits are what signal values are measured in, in percent and as such.
var signalUnits = map[string]string{"strength": "%", "quality": "%", "strengthv": "dBm", "qualityv": "dB"}

// vitals is a metrics describe as the API tells it. A metric that the device could
// not read tells its error; one that has no name here stands under its number.
func vitals(metrics []pdc.Metric) tree {
	report := tree{"device": tree{}, "service": tree{}}
	report.put("ok", "service", "device", "status")
	for _, m := range metrics {
		place, known := vitalsByID[m.ID]
		if !known {
			place = vital{at("device", "other", m.ID.String()), plainly}
		}
		if m.Failed {
			report.put(tree{"err": m.Value}, place.path...)
			continue
		}
		report.put(place.value(m.Value), place.path...)
		if name := place.path[len(place.path)-1]; signalUnits[name] != "" && place.path[1] == "network" {
			report.put(signalUnits[name], "device", "network", "signal", name+"_units")
		}
	}
	return report
}
