// Package view shows a run of a fleet in a terminal while it goes on: what phase it
// is in, what the devices are doing, rates and percentiles, why connections end, and
// how loaded the generator itself is.
//
// On a terminal it takes the whole screen; elsewhere it writes a line now and then.
// A [View] hears of the run as a sink of its samples. What is shown is made by a
// [state], which knows no terminal, and drawn by functions of its size.
package view
