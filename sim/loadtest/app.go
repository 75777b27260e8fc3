package loadtest

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/scenario"
	"github.com/muster/muster/sim/workload"
)

// application is what the devices of a group run.
func application(g *scenario.Group, seed uint64) *device.App {
	app := &device.App{SetupOnConnect: true}
	for i := range g.Functions {
		app.Functions = append(app.Functions, function(&g.Functions[i], workload.From(seed, g.Name+"/function/"+g.Functions[i].Name)))
	}
	for i := range g.Variables {
		app.Variables = append(app.Variables, variable(&g.Variables[i], workload.From(seed, g.Name+"/variable/"+g.Variables[i].Name)))
	}
	for _, prefix := range g.Subscribe {
		app.Subscriptions = append(app.Subscriptions, pdc.Subscribe{Filter: prefix, Scope: pdc.ScopeMyDevices})
	}
	return app
}

// number names a device for draws.
func number(id device.ID) uint64 { return binary.BigEndian.Uint64(id[4:]) }

// function makes a function of the device. Its draws are numbered by calls.
func function(f *scenario.Function, source workload.Source) device.Function {
	var calls atomic.Uint64
	out := device.Function{Name: f.Name}
	out.Call = func(id device.ID, arg []byte) int32 {
		if f.Returns.Zero() {
			return int32(len(arg))
		}
		dice := source.Roll(number(id), calls.Add(1))
		return int32(f.Returns.Draw(&dice))
	}
	if f.Delay.Zero() && f.Fails == 0 {
		return out
	}
	out.Runs = func(id device.ID) (time.Duration, bool) {
		dice := source.Roll(number(id), calls.Add(1)<<1)
		return max(time.Duration(f.Delay.Draw(&dice)*float64(time.Second)), 0), dice.Float() >= f.Fails
	}
	return out
}

// variable makes a variable of the device. Its draws are numbered by reads.
func variable(v *scenario.Variable, source workload.Source) device.Variable {
	var reads atomic.Uint64
	draw := func(id device.ID) float64 {
		dice := source.Roll(number(id), reads.Add(1))
		return v.Value.Draw(&dice)
	}
	out := device.Variable{Name: v.Name}
	switch v.Type {
	case "int":
		out.Type = pdc.VariableInt
		out.Value = func(id device.ID) pdc.Value { return pdc.Value{Type: pdc.VariableInt, Int: int32(draw(id))} }
	case "bool":
		out.Type = pdc.VariableBool
		out.Value = func(id device.ID) pdc.Value { return pdc.Value{Type: pdc.VariableBool, Bool: draw(id) >= 0.5} }
	case "string":
		out.Type = pdc.VariableString
		out.Value = func(id device.ID) pdc.Value {
			return pdc.Value{Type: pdc.VariableString, String: strings.Repeat("x", max(int(draw(id)), 0))}
		}
	default:
		out.Type = pdc.VariableDouble
		out.Value = func(id device.ID) pdc.Value { return pdc.Value{Type: pdc.VariableDouble, Double: draw(id)} }
	}
	return out
}
