// Package api is the face of the reference cloud: the Particle Cloud REST API and
// its event streams, with which the clients that people already have (the
// command-line tool, the JavaScript library, curl) work unchanged.
//
// [New] returns a [Server], which is an http.Handler for /v1/… and
// /oauth/token. The cloud behind it is an interface, [Cloud]; accounts, hashed
// passwords and hashed tokens lie in the store.
//
// Whoever holds a token of an account sees the devices and events of that
// account and of no other. A device that does not exist and one that belongs to
// someone else get the same answer, except where the API itself tells them apart
// (claiming).
//
// Bodies and statuses follow recorded answers of the real service where there
// are any. Where those disagree with its documentation, the comment says so.
//
// What this package is not: a listener (the caller has that, see
// [Server.HTTP]), and it decides nothing about devices.
package api
