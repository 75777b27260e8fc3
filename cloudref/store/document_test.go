package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/natstest"
)

func TestProducts(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		coffee := &Product{Owner: alice, Name: "Coffee", Slug: "coffee-v1", Platform: 13}
		tea := &Product{Owner: bob, Name: "Tea", Slug: "tea-v2", Platform: 13}
		x.want(nil, x.CreateProduct(x.ctx, coffee))
		x.want(nil, x.CreateProduct(x.ctx, tea))
		if coffee.ID != FirstProduct || tea.ID != FirstProduct+1 {
			t.Errorf("the products are %v and %v", coffee.ID, tea.ID)
		}
		x.want(ErrConflict, x.CreateProduct(x.ctx, &Product{ID: tea.ID}))
		_, err := x.UpdateProduct(x.ctx, coffee.ID, func(p *Product) error {
			p.Slug = "coffee-v3"
			p.Firmware = []Firmware{{Version: 1, Groups: []string{"beta"}}, {Version: 2, Default: true}, {Version: 3}}
			return nil
		})
		x.want(nil, err)
		refused := errors.New("refused")
		_, err = x.UpdateProduct(x.ctx, coffee.ID, func(*Product) error { return refused })
		x.want(refused, err)
		x.restart()

		_, err = x.ProductBySlug("coffee-v1")
		x.want(ErrNotFound, err)
		p, err := x.ProductBySlug("coffee-v3")
		x.want(nil, err)
		if p.ID != coffee.ID || p.Owner != alice || len(x.ProductsOf(alice)) != 1 {
			t.Errorf("got %+v", p)
		}
		locked := uint16(3)
		for _, test := range []struct {
			member Member
			want   uint16
		}{
			{Member{}, 2},
			{Member{Groups: []string{"gamma", "beta"}}, 1},
			{Member{Groups: []string{"beta"}, Desired: &locked}, 3},
		} {
			if got := p.Target(&test.member); got == nil || got.Version != test.want {
				t.Errorf("%+v gets %+v, want version %d", test.member, got, test.want)
			}
		}
	})
}

func TestMembers(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		if m := x.Member(deviceID(1)); m.Device != deviceID(1) || m.Product != 0 {
			t.Errorf("got %+v", m)
		}
		for n, product := range []ProductID{1000, 1000, 1001} {
			_, err := x.UpdateMember(x.ctx, deviceID(n), func(m *Member) error {
				m.Product, m.Waiting = product, 1002
				return nil
			})
			x.want(nil, err)
		}
		_, err := x.UpdateMember(x.ctx, deviceID(0), func(m *Member) error { m.Leave(); return nil })
		x.want(nil, err)
		x.restart()
		if got := x.MembersOf(1000); !slices.Equal(got, []DeviceID{deviceID(1)}) {
			t.Errorf("product 1000 has %v", got)
		}
		if got := x.QuarantinedOf(1002); len(got) != 3 {
			t.Errorf("product 1002 has %v in quarantine", got)
		}
		x.want(nil, x.Do(x.ctx, PutDevice(device(2))))
		x.want(nil, x.RemoveDevice(x.ctx, deviceID(2)))
		if got := x.MembersOf(1001); len(got) != 0 {
			t.Errorf("product 1001 has %v", got)
		}
	})
}

func TestHooks(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		one := &Hook{ID: deviceID(1), Account: alice, Event: "temp", Spec: json.RawMessage(`{"password":"hush"}`)}
		two := &Hook{ID: deviceID(2), Account: alice, Product: 1000, Event: "t", Device: deviceID(9), Spec: json.RawMessage(`{}`)}
		x.want(nil, x.CreateHook(x.ctx, one))
		x.want(nil, x.CreateHook(x.ctx, two))
		x.restart()
		count := func(a AccountID, p ProductID, n int, name string) int {
			return len(x.HooksFor(a, p, deviceID(n), name))
		}
		for _, test := range []struct {
			account AccountID
			product ProductID
			device  int
			name    string
			want    int
		}{
			{alice, 0, 9, "temperature", 1},
			{alice, 0, 9, "Temperature", 0},
			{alice, 1000, 9, "temperature", 2},
			{bob, 1000, 9, "temperature", 1},
			{bob, 1000, 8, "temperature", 0},
			{bob, 1001, 9, "temperature", 0},
		} {
			if got := count(test.account, test.product, test.device, test.name); got != test.want {
				t.Errorf("%+v: %d hooks", test, got)
			}
		}
		_, err := x.UpdateHook(x.ctx, one.ID, func(h *Hook) error { h.Disabled = true; return nil })
		x.want(nil, err)
		if count(alice, 0, 9, "temperature") != 0 || len(x.HooksOf(alice)) != 1 || len(x.HooksOfProduct(1000)) != 1 {
			t.Error("a disabled hook is called, or gone")
		}
		x.want(nil, x.RemoveHook(x.ctx, one.ID))
		_, err = x.Hook(one.ID)
		x.want(ErrNotFound, err)
	})
}

// Who reads the disk does not read the passwords in webhooks.
func TestHooksAreEncrypted(t *testing.T) {
	dir := t.TempDir()
	x := openTest(t, Config{Dir: dir})
	x.want(nil, x.CreateHook(x.ctx, &Hook{ID: deviceID(1), Spec: json.RawMessage(`{"password":"find me"}`)}))
	x.want(nil, x.Close())
	files := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("find me")) {
			t.Errorf("%s holds the password", path)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatal(files, err)
	}
}

// What one node changes the others know.
func TestTablesFollowOtherNodes(t *testing.T) {
	nats := natstest.Start(t)
	c := Config{URL: nats.ClientURL(), KeyFile: keyFileTest(t)}
	x := openTest(t, c)
	x.want(nil, x.CreateHook(x.ctx, &Hook{ID: deviceID(1), Account: alice, Spec: json.RawMessage(`{}`)}))
	other := mustOpen(t, c)
	defer other.Close()
	if len(other.HooksOf(alice)) != 1 {
		t.Fatal("a webhook that was there is not known")
	}
	x.want(nil, x.CreateHook(x.ctx, &Hook{ID: deviceID(2), Account: alice, Spec: json.RawMessage(`{}`)}))
	x.want(nil, x.RemoveHook(x.ctx, deviceID(1)))
	until(t, func() bool {
		list := other.HooksOf(alice)
		return len(list) == 1 && list[0].ID == deviceID(2)
	})
	_, err := x.Hook(deviceID(2))
	x.want(nil, err)
}

// until waits for what another goroutine does.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

func TestLedgers(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		k := LedgerKey{LedgerOwner{Account: alice}, "config"}
		x.want(nil, x.CreateLedger(x.ctx, &Ledger{Key: k, Scope: "Device", Direction: "Downstream"}))
		x.want(ErrConflict, x.CreateLedger(x.ctx, &Ledger{Key: k}))
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for _, data := range []string{`{"a":1}`, `{"a":2}`} {
			_, err := x.SetLedgerData(x.ctx, k, "scope-1", at, func(json.RawMessage) (json.RawMessage, error) {
				return json.RawMessage(data), nil
			})
			x.want(nil, err)
		}
		x.restart()
		l, err := x.Ledger(k)
		x.want(nil, err)
		if l.Key != k || l.Scope != "Device" || len(x.LedgersOf(k.Owner)) != 1 || len(x.LedgersOf(LedgerOwner{Product: 1000})) != 0 {
			t.Errorf("got %+v", l)
		}
		i, err := x.LedgerInstance(x.ctx, k, "scope-1")
		x.want(nil, err)
		if string(i.Data) != `{"a":2}` || !i.Updated.Equal(at.Add(time.Millisecond)) || len(i.Versions) != 1 || string(i.Versions[0].Data) != `{"a":1}` {
			t.Errorf("got %+v", i)
		}
		all, err := x.LedgerInstances(x.ctx, k)
		x.want(nil, err)
		if len(all) != 1 {
			t.Errorf("got %v", all)
		}
		x.want(nil, x.RemoveLedgerData(x.ctx, k, "scope-1"))
		_, err = x.LedgerInstance(x.ctx, k, "scope-1")
		x.want(ErrNotFound, err)
		_, err = x.LedgerInstance(x.ctx, k, "*")
		x.want(ErrNotFound, err)
	})
}

func TestVitals(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		x.want(nil, x.AddVitals(x.ctx, deviceID(1), Vitals{At: at.Add(-31 * 24 * time.Hour), Payload: json.RawMessage(`{}`)}))
		for n := range vitalsMax + 1 {
			x.want(nil, x.AddVitals(x.ctx, deviceID(1), Vitals{At: at.Add(time.Duration(n)), Payload: json.RawMessage(`{}`)}))
		}
		list, err := x.Vitals(x.ctx, deviceID(1))
		x.want(nil, err)
		if len(list) != vitalsMax || !list[0].At.Equal(at.Add(1)) {
			t.Errorf("%d reports from %v on", len(list), list[0].At)
		}
	})
}

func TestCustomers(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		const name = "carol@example.com"
		x.want(nil, x.PutAccount(x.ctx, &Account{ID: alice, Username: name}))
		x.want(nil, x.PutAccount(x.ctx, &Account{ID: bob, Username: name, Customer: 1000}))
		x.want(ErrNameTaken, x.PutAccount(x.ctx, &Account{ID: AccountID{9}, Username: name, Customer: 1000}))
		x.want(nil, x.PutToken(x.ctx, &Token{Hash: HashToken("bob's"), Account: bob, Kind: AccessToken}))
		x.restart()
		a, _ := x.AccountByName(name)
		b, _ := x.CustomerByName(1000, name)
		_, known := x.CustomerByName(1001, name)
		if a.ID != alice || b.ID != bob || known || len(x.Customers(1000)) != 1 {
			t.Errorf("got %v, %v, %v", a, b, known)
		}
		x.want(nil, x.RemoveAccount(x.ctx, bob))
		x.restart()
		_, known = x.CustomerByName(1000, name)
		_, err := x.Token(x.ctx, HashToken("bob's"))
		if a, _ := x.AccountByName(name); known || a.ID != alice {
			t.Error("the wrong one is gone")
		}
		x.want(ErrNotFound, err)
	})
}

// Calls are handed out until they are done, over restarts too.
func TestCalls(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		x.want(nil, x.Do(x.ctx, PutCall(Call{deviceID(1), []byte("one")})))
		x.restart()
		var tries atomic.Int32
		got := make(chan string, 8)
		stop, err := x.ServeCalls(2, func(d Delivery) {
			if tries.Add(1) == 1 {
				d.Retry(0)
				return
			}
			d.Done()
			got <- string(d.Body)
		})
		x.want(nil, err)
		defer stop()
		x.want(nil, x.Do(x.ctx, PutCall(Call{deviceID(2), []byte("two")})))
		seen := []string{<-got, <-got}
		slices.Sort(seen)
		if !slices.Equal(seen, []string{"one", "two"}) || tries.Load() != 3 {
			t.Errorf("got %q in %d tries", seen, tries.Load())
		}
	})
}

// A call that was handed out when the process died is handed out at once by the
// next.
func TestCallsOfADeadProcess(t *testing.T) {
	x := openTest(t, Config{Dir: t.TempDir()})
	x.want(nil, x.Do(x.ctx, PutCall(Call{deviceID(1), []byte("one")})))
	out := make(chan bool, 1)
	stop, err := x.ServeCalls(1, func(Delivery) { out <- true }) // and neither done nor to be tried again
	x.want(nil, err)
	<-out
	stop()
	x.restart()
	stop, err = x.ServeCalls(1, func(d Delivery) { d.Done(); out <- true })
	x.want(nil, err)
	<-out
	stop()
}

// A hook whose queue is full loses calls, and those who publish do not notice.
func TestTheQueueOfAHookIsBounded(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		dropped := 0
		x.OnCallDropped(func(DeviceID, error) { dropped++ })
		ops := make([]Op, 0, CallsMax+1)
		for range CallsMax + 1 {
			ops = append(ops, PutCall(Call{Hook: deviceID(1)}))
		}
		x.want(nil, x.Do(x.ctx, ops...))
		x.want(nil, x.Do(x.ctx, PutCall(Call{Hook: deviceID(2)})))
		if dropped != 1 {
			t.Errorf("%d calls were dropped, want 1", dropped)
		}
	})
}
