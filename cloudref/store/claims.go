package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const claimVersion = 1

// claimTries bounds how often a claim is repeated because someone else changed
// the device at the same time.
const claimTries = 5

// A claim is the record of a claim code. The code itself is not stored: who
// reads the disk cannot claim with it.
type claim struct {
	Version int       `json:"v"`
	Account AccountID `json:"-"`
	Owner   string    `json:"account"`
	Expires time.Time `json:"expires"`
	UsedBy  string    `json:"used_by,omitempty"` // device id
}

func claimKey(code string) string {
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}

func parseClaim(e entry) (claim, error) {
	var c claim
	if err := json.Unmarshal(e.value, &c); err != nil {
		return c, fmt.Errorf("store: claim record: %w", err)
	}
	if c.Version > claimVersion {
		return c, fmt.Errorf("store: claim record of version %d: %w", c.Version, ErrNewer)
	}
	var err error
	c.Account, err = ParseAccountID(c.Owner)
	return c, err
}

func (c claim) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("store: encoding a claim: %v", err)) // a year beyond 9999
	}
	return b
}

// PutClaimCode makes code good for one device of the account until expires.
func (s *Store) PutClaimCode(ctx context.Context, code string, a AccountID, expires time.Time) error {
	if len(code) != claimCodeLen {
		return fmt.Errorf("store: a claim code of %d characters: want %d", len(code), claimCodeLen)
	}
	c := claim{Version: claimVersion, Owner: a.String(), Expires: expires}
	_, err := s.put(ctx, write{bucket: bucketClaims, key: claimKey(code), value: c.encode(), cas: true})
	if err != nil {
		return fmt.Errorf("claim code: %w", err)
	}
	return nil
}

// Claim gives the device to the account of the code and calls done, under the
// rules of [Store.Write]. It fails with [ErrCodeUnknown], [ErrCodeExpired] or
// [ErrCodeUsed] if the code is not good.
//
// A device may repeat its claim: the code was used, but by itself. So a claim
// that a crash cut in two is completed when the device sends the code again.
func (s *Store) Claim(code string, id DeviceID, now time.Time, done func(AccountID, error)) {
	if _, ok := s.dir.findID(id); !ok {
		done(AccountID{}, ErrUnknownDevice)
		return
	}
	s.backend.read(bucketClaims, claimKey(code), func(e entry, err error) {
		if errors.Is(err, ErrNotFound) {
			err = ErrCodeUnknown
		}
		var c claim
		if err == nil {
			c, err = parseClaim(e)
		}
		switch {
		case err != nil:
			done(AccountID{}, err)
		case c.UsedBy == id.String():
			s.giveTo(c.Account, id, now, claimTries, done)
		case c.UsedBy != "":
			done(AccountID{}, ErrCodeUsed)
		case now.After(c.Expires):
			done(AccountID{}, ErrCodeExpired)
		default:
			s.useCode(e, c, id, now, done)
		}
	})
}

func (s *Store) useCode(e entry, c claim, id DeviceID, now time.Time, done func(AccountID, error)) {
	c.UsedBy = id.String()
	w := write{bucket: bucketClaims, key: e.key, value: c.encode(), cas: true, expect: e.revision}
	s.backend.write(w, func(_ Revision, err error) {
		switch {
		case errors.Is(err, ErrConflict):
			done(AccountID{}, ErrCodeUsed) // another device was faster
		case err != nil:
			done(AccountID{}, err)
		default:
			s.giveTo(c.Account, id, now, claimTries, done)
		}
	})
}

// giveTo makes the account the owner of the device.
func (s *Store) giveTo(a AccountID, id DeviceID, now time.Time, tries int, done func(AccountID, error)) {
	s.backend.read(bucketDevices, id.String(), func(e entry, err error) {
		if err != nil {
			done(AccountID{}, err)
			return
		}
		d, err := parseDevice(id, e)
		if err != nil {
			done(AccountID{}, err)
			return
		}
		if d.Owner == a {
			done(a, nil)
			return
		}
		if d.Owner != (AccountID{}) {
			d.Name, d.Notes = "", "" // what its former owner wrote about it
		}
		d.Owner, d.Claimed = a, now
		op := PutDevice(d).If(d.Revision)
		s.putDevice(&op, func(_ Revision, err error) {
			switch {
			case errors.Is(err, ErrConflict) && tries > 1:
				s.giveTo(a, id, now, tries-1, done)
			case err != nil:
				done(AccountID{}, err)
			default:
				done(a, nil)
			}
		})
	})
}
