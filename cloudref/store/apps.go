package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// appVersion begins each stored value; what follows is the app's.
const appVersion = 1

func appKey(id DeviceID, part Part) string {
	return id.String() + "." + strconv.Itoa(int(part))
}

func parseAppKey(key string) (DeviceID, Part, error) {
	device, part, _ := strings.Cut(key, ".")
	id, err := ParseDeviceID(device)
	if err != nil {
		return id, 0, err
	}
	n, err := strconv.ParseUint(part, 10, 8)
	return id, Part(n), err
}

func (s *Store) putApp(op *Op, done func(Revision, error)) {
	if len(op.value) > MaxAppState {
		done(0, fmt.Errorf("application state of %d bytes: %w", len(op.value), ErrTooLarge))
		return
	}
	if _, ok := s.dir.findID(op.id); !ok {
		done(0, ErrUnknownDevice)
		return
	}
	value := append([]byte{appVersion}, op.value...)
	s.backend.write(op.write(bucketApps, appKey(op.id, op.part), value), done)
}

func parseApp(e entry) (AppState, error) {
	id, part, err := parseAppKey(e.key)
	if err != nil {
		return AppState{}, err
	}
	if err := checkVersion("application state", e.value, appVersion, 1); err != nil {
		return AppState{}, err
	}
	return AppState{Device: id, Part: part, Value: e.value[1:], Revision: e.revision}, nil
}

// ReadApp reads one part of the application state of a device and calls done,
// under the rules of [Store.Write]. The error is [ErrNotFound] if there is none.
func (s *Store) ReadApp(id DeviceID, part Part, done func(AppState, error)) {
	s.backend.read(bucketApps, appKey(id, part), func(e entry, err error) {
		if err != nil {
			done(AppState{}, fmt.Errorf("application state %d of device %s: %w", part, id, err))
			return
		}
		done(parseApp(e))
	})
}

// App is [Store.ReadApp] for those who can wait.
func (s *Store) App(ctx context.Context, id DeviceID, part Part) (AppState, error) {
	e, err := s.get(ctx, bucketApps, appKey(id, part))
	if err != nil {
		return AppState{}, fmt.Errorf("application state %d of device %s: %w", part, id, err)
	}
	return parseApp(e)
}

// Apps yields the given part of the application state of every device, oldest
// change first. It removes what belongs to no device ([Report].Homeless), and
// ends with an error if the storage fails.
func (s *Store) Apps(ctx context.Context, part Part) iter.Seq2[AppState, error] {
	return func(yield func(AppState, error) bool) {
		pattern := "*." + strconv.Itoa(int(part))
		err := s.backend.scan(ctx, bucketApps, pattern, func(e entry) error {
			state, err := parseApp(e)
			if err != nil {
				s.count(func(r *Report) { r.Unreadable++ })
				return nil
			}
			if _, ok := s.dir.findID(state.Device); !ok {
				s.count(func(r *Report) { r.Homeless++ })
				s.backend.write(write{bucket: bucketApps, key: e.key, delete: true},
					func(Revision, error) {})
				return nil
			}
			if !yield(state, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(AppState{}, err)
		}
	}
}

// AppParts returns every part of the application state of a device, in the
// order of their numbers.
func (s *Store) AppParts(ctx context.Context, id DeviceID) ([]AppState, error) {
	var parts []AppState
	err := s.backend.scan(ctx, bucketApps, id.String()+".*", func(e entry) error {
		state, err := parseApp(e)
		if err == nil {
			parts = append(parts, state)
		}
		return err
	})
	slices.SortFunc(parts, func(a, b AppState) int { return int(a.Part) - int(b.Part) })
	return parts, err
}
