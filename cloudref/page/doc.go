// Package page is the live page of the cloud: devices, events, what a device and
// the cloud say to each other, and what that costs. It speaks the REST API like any
// other client; what the API does not have is below /muster/.
//
// Whoever opens the page sees a form for a token. Nothing of an account is served
// without one, and nothing of another account with it.
package page
