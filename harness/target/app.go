package target

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/device"
)

// What the application of every simulated device registers. Names have at most
// 12 bytes, so that every release takes them.
const (
	FunctionSum   = "sum"   // returns the sum of the bytes of its argument
	FunctionMinus = "minus" // returns -1
	VariableCount = "count" // int
	VariableLevel = "level" // double
	VariableLabel = "label" // string
	VariableReady = "ready" // bool
	// SubscribedTo is the prefix that every device subscribes to.
	SubscribedTo = "muster/"
)

// Sum is what FunctionSum returns for an argument.
func Sum(argument string) int32 {
	sum := int32(0)
	for _, b := range []byte(argument) {
		sum += int32(b)
	}
	return sum
}

// Variables are the values that a device with this id has: each device others,
// so that an answer of the wrong device shows.
func Variables(id [12]byte) map[string]pdc.Value {
	return map[string]pdc.Value{
		VariableCount: {Type: pdc.VariableInt, Int: -int32(binary.BigEndian.Uint16(id[10:])) - 98765},
		VariableLevel: {Type: pdc.VariableDouble, Double: float64(binary.BigEndian.Uint16(id[10:]))/7 - 104.858},
		VariableLabel: {Type: pdc.VariableString, String: "d-" + hex.EncodeToString(id[6:])},
		VariableReady: {Type: pdc.VariableBool, Bool: id[11]&1 == 1},
	}
}

// Variables are the values that the device has to have.
func (d *Device) Variables() map[string]pdc.Value { return Variables(d.ID) }

// application is what every simulated device runs.
func application() *device.App {
	app := &device.App{
		Functions: []device.Function{
			{Name: FunctionSum, Call: func(_ device.ID, arg []byte) int32 { return Sum(string(arg)) }},
			{Name: FunctionMinus, Call: func(device.ID, []byte) int32 { return -1 }},
		},
		Subscriptions: []pdc.Subscribe{{Filter: SubscribedTo, Scope: pdc.ScopeMyDevices}},
	}
	for _, v := range []struct {
		name string
		kind pdc.VariableType
	}{
		{VariableCount, pdc.VariableInt},
		{VariableLevel, pdc.VariableDouble},
		{VariableLabel, pdc.VariableString},
		{VariableReady, pdc.VariableBool},
	} {
		app.Variables = append(app.Variables, device.Variable{
			Name: v.name, Type: v.kind,
			Value: func(id device.ID) pdc.Value { return Variables(id)[v.name] },
		})
	}
	return app
}

// Application is what the suites expect of an application, for programs that run
// it themselves.
func Application() *device.App { return application() }
