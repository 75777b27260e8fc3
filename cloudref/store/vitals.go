package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	vitalsVersion = 1
	// vitalsMax is how many reports of a device are kept, and vitalsAge how long.
	vitalsMax = 100
	vitalsAge = 30 * 24 * time.Hour
)

// Vitals are what a device measured of itself at some time.
type Vitals struct {
	At time.Time `json:"at"`
	// Payload is what the API tells: an object.
	Payload json.RawMessage `json:"payload"`
}

// Vitals returns the reports of a device, oldest first, at most 100 and none older
// than 30 days.
func (s *Store) Vitals(ctx context.Context, id DeviceID) ([]Vitals, error) {
	list, _, err := s.vitals(ctx, id)
	return list, err
}

func (s *Store) vitals(ctx context.Context, id DeviceID) ([]Vitals, Revision, error) {
	e, err := s.get(ctx, bucketVitals, id.String())
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("vitals of device %s: %w", id, err)
	}
	var d document[[]Vitals]
	if err := json.Unmarshal(e.value, &d); err != nil {
		return nil, 0, fmt.Errorf("store: vitals of device %s: %w", id, err)
	}
	if d.Version > vitalsVersion {
		return nil, 0, fmt.Errorf("store: vitals of version %d: %w", d.Version, ErrNewer)
	}
	return d.Record, e.revision, nil
}

// AddVitals keeps a report of a device.
func (s *Store) AddVitals(ctx context.Context, id DeviceID, v Vitals) error {
	for try := 1; ; try++ {
		list, revision, err := s.vitals(ctx, id)
		if err != nil {
			return err
		}
		list = append(list, v)
		for len(list) > vitalsMax || v.At.Sub(list[0].At) > vitalsAge {
			list = list[1:]
		}
		value, err := json.Marshal(document[[]Vitals]{vitalsVersion, list})
		if err == nil {
			_, err = s.put(ctx, write{bucket: bucketVitals, key: id.String(), value: value, cas: true, expect: revision})
		}
		if err == nil || !isConflict(err) || try == updateTries {
			return err
		}
	}
}
