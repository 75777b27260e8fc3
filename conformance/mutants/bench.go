package mutants

import (
	"github.com/muster/muster/harness/target"
)

// What the suite bench judges, broken.
var benchMutants = []Mutant{
	{
		Name: "device/forgets-session", Text: "loses its session in a reset and in sleep",
		Breaks: []string{"B-4", "B-7"}, Device: faulty(func(f *target.DeviceFaults) { f.Power.ForgetsSession = true }),
		On: []string{"boron@6.2.0", "electron@1.4.4"}, Run: []string{"bench"}, Fails: []string{"bench/reset", "bench/sleep"},
	},
	{
		Name: "device/stays-off", Text: "does not connect by itself when it has lost its power",
		Breaks: []string{"B-3", "B-5", "N-52"}, Device: faulty(func(f *target.DeviceFaults) { f.Power.StaysOff = true }),
		On: both, Run: []string{"bench"}, Fails: []string{"bench/power-cut", "bench/power-cut-in-update", "bench/power-cut-in-apply"},
	},
	{
		Name: "device/boots-half", Text: "starts the half of an image that it has when an update is cut off",
		Breaks: []string{"B-1"}, Device: faulty(func(f *target.DeviceFaults) { f.Power.BootsHalf = true }),
		On: both, Run: []string{"bench"}, Fails: []string{"bench/reset-in-update", "bench/power-cut-in-update"},
	},
	{
		Name: "device/forgets-transfer", Text: "begins every transfer that was cut off anew",
		Breaks: []string{"B-2"}, Device: faulty(func(f *target.DeviceFaults) { f.Updates.ForgetsPartial = true }),
		Run: []string{"bench"}, Fails: []string{"bench/reset-in-update", "bench/power-cut-in-update"},
	},
	{
		Name: "device/wrong-sleep", Text: "tells the cloud another time than it sleeps",
		Breaks: []string{"B-6"}, Device: faulty(func(f *target.DeviceFaults) { f.Power.WrongSleep = true }),
		Run: []string{"bench/sleep"}, Fails: []string{"bench/sleep"},
	},
	{
		Name: "device/never-wakes", Text: "sleeps without an end",
		Breaks: []string{"B-6"}, Device: faulty(func(f *target.DeviceFaults) { f.Power.NeverWakes = true }),
		On: both, Run: []string{"bench/sleep"}, Fails: []string{"bench/sleep"},
	},
	{
		Name: "device/silent-sleep", Text: "goes to sleep without a Goodbye",
		Breaks: []string{"B-6"}, Device: faulty(func(f *target.DeviceFaults) { f.NoGoodbye = true }),
		Run: []string{"bench/sleep"}, Fails: []string{"bench/sleep"},
	},
}
