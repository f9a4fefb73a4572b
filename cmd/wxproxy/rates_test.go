package main

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/endpoint"
)

// The config has a rate for each family of the table, and a table's row can be
// put into each.
func TestEveryFamilyHasARate(t *testing.T) {
	t.Parallel()
	want := endpoint.Families()
	if got := slices.Sorted(maps.Keys(config.Rates{}.ByFamily())); !slices.Equal(got, want) {
		t.Errorf("outbound.limits.rates has %v, the table %v", got, want)
	}
	var all config.Rates
	v := reflect.ValueOf(&all).Elem()
	for i := range v.NumField() {
		family := v.Type().Field(i).Tag.Get("yaml")
		v.Field(i).Set(reflect.ValueOf(config.Rate{PerSecond: float64(i + 1)}))
		if got := all.ByFamily()[family]; got.PerSecond != float64(i+1) {
			t.Errorf("%s has the rate of another family: %v", family, got)
		}
	}
	field, _ := reflect.TypeFor[config.Endpoint]().FieldByName("RateFamily")
	if got := strings.Split(field.Tag.Get("enum"), ","); !slices.Equal(got, want) {
		t.Errorf("endpoints[].rate_family takes %v, the table has %v", got, want)
	}
}
