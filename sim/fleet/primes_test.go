package fleet

import (
	"crypto/rsa"
	"testing"

	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/sim/device"
)

// Devices over TCP whose keys follow from a number have a key of their own each,
// that a board can read, and the same in every run, however many there are.
func TestKeysOfPrimes(t *testing.T) {
	ids := func(n int) (list []device.ID) {
		for i := range n {
			list = append(list, ID(1, i))
		}
		return list
	}
	all, few := SeededKeys(5, 0), SeededKeys(5, 0)
	if err := all.MakeRSA(t.Context(), ids(30), nil); err != nil {
		t.Fatal(err)
	}
	for n := range 7 { // one after the other
		if err := few.MakeRSA(t.Context(), ids(n+1), nil); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for i, id := range ids(30) {
		key, ok := all.Get(id).(*rsa.PrivateKey)
		if !ok || !lightssl.Nominal(key) || key.Validate() != nil {
			t.Fatalf("device %d has no key that a board can read", i)
		}
		public := string(all.Public(id))
		if seen[public] {
			t.Errorf("device %d has the key of another", i)
		}
		seen[public] = true
		if i < 7 && public != string(few.Public(id)) {
			t.Errorf("device %d has another key when there are fewer devices", i)
		}
	}
	if n, shared := all.RSA(); n != 30 || shared != 0 || all.Primes() > 12 {
		t.Errorf("%d keys, %d shared, of %d primes", n, shared, all.Primes())
	}
	if _, isRSA := all.Get(ID(2, 0)).(*rsa.PrivateKey); isRSA {
		t.Error("a device over UDP has an RSA key")
	}
}
