// Package fakerig is a bench of fake boards with simulated devices inside, each
// of which really connects to the cloud that its flash memory names: what
// "muster conform --device rig:NAME" is tested on.
//
// A device boots with what rigs/provision has written into its board, with the
// key that the board keeps there. Its log, its restarts and its sleep show on
// the board's console and bus; power and reset of the board reach the device.
//
// [Command] gives it to people: "muster rig fake". Other programs find the bench
// by their environment ([inventory.RootVariable]).
//
// What this package is not: a proof that real boards are like that.
package fakerig
