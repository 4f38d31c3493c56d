package tenants

import "fmt"

// CheckCode says what is wrong with a text as a tenant's code, nil for nothing: it is 3 to 20 letters, digits, _
// and - of ASCII, as the tables' CHECK has it. Only what passed here may become part of a connection string.
func CheckCode(code string) error {
	ok := len(code) >= 3 && len(code) <= 20
	for _, c := range []byte(code) {
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		ok = ok && (letter || c == '_' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%.60q is no tenant's code, one has 3 to 20 letters, digits, - and _", code)
	}
	return nil
}
