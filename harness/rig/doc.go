// Package rig has the tests that need a bench, a cloud and a simulated device at
// once: no folder below may import all three.
package rig
