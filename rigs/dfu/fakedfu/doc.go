// Package fakedfu is a dfu-util for tests: a program with the real one's options,
// words and exit codes (0.11), and behind it boards that exist in a test only.
//
// The program is the test binary itself, started by a script that Install
// writes:
//
//	func TestMain(m *testing.M) { fakedfu.MainIfAsked(); os.Exit(m.Run()) }
//
//	server, err := fakedfu.Serve(t.TempDir(), func() []fakedfu.Board { … })
//	tool := dfu.Tool{Program: server.Program()}
//
// It lives outside the process under test, as the real one does, so that it can
// be ended, outlive its parent, and hold its files.
//
// What this package is not: a bootloader. It reads and writes memory, and knows
// nothing of what it writes.
package fakedfu
