// Package restapi is what a rig needs of a cloud's REST API: register a key,
// flash, watch a device's events, ask whether it is online.
//
// It speaks the Particle Cloud API, so the cloud may be ours or another.
//
// What this package is not: a client for applications; Particle's own do that.
package restapi
