package fakerig

import "github.com/muster/muster/rigs/dfu/fakedfu"

// MainIfAsked must be the first call of a program that has a Bench: the bench
// runs the program again as its dfu-util.
func MainIfAsked() { fakedfu.MainIfAsked() }
