package seed

import (
	"strconv"
	"time"
)

// userColumns are in the order in which dataset.user appends them.
const userColumns = `id created_at created_by updated_at updated_by user_type full_name email phone username
	password sso_provider sso_subject mfa_enabled mfa_secret status last_login_at last_login_ip failed_login_attempts
	locked_until password_changed_at force_password_change timezone locale department position email_verified
	phone_verified is_active`

// userType returns the type of the i-th user without drawing the row. The administrator is followed by one user per
// tenant, who manages it.
func (s *dataset) userType(i int) string {
	if i == 0 {
		return "MASTER"
	}
	if i <= len(s.tenants) {
		return "TENANT"
	}
	switch h := kindUser.id(i)[0]; {
	case h < 8: // 3 %
		return "MASTER"
	case h < 13: // 2 %
		return "SYSTEM"
	}
	return "TENANT"
}

// userDeleted reports whether the i-th user is deleted. Administrators of tenants never are.
func (s *dataset) userDeleted(i int) bool {
	return i > len(s.tenants) && kindUser.id(i)[1] < 10 // 4 %
}

// account has the columns of an idam.users row other than the personal data.
type account struct {
	status      string
	updated     time.Time
	lastLogin   time.Time
	attempts    int
	lockedUntil time.Time
	passwordSet time.Time
	sso         string
}

func (s *dataset) user(r *row, i int) {
	d := s.dice
	d.turn(kindUser, i)
	from, to := slot(i, s.users)
	created := d.between(from, to)
	if i == 0 {
		s.admin(r, from)
		return
	}
	typ, deleted := s.userType(i), s.userDeleted(i)
	p := newPerson(d, i)
	if typ == "SYSTEM" {
		service := pick(d, services)
		p.full, p.login = service+" service "+strconv.Itoa(i), "svc-"+service+"-"+strconv.Itoa(i)
		p.phone, p.domain = "", "example.com"
	}
	a := newAccount(d, created, deleted, typ != "SYSTEM")
	place := pick(d, p.places)
	mfa := typ != "SYSTEM" && d.percent(20)

	r.id(kindUser.id(i))
	r.time(created)
	if d.percent(80) {
		r.id(s.adminID)
	} else {
		r.null() // signed up on their own
	}
	r.time(a.updated)
	if a.updated.IsZero() || d.percent(30) {
		r.null()
	} else {
		r.id(s.adminID)
	}
	r.text(typ)
	r.text(p.full)
	r.texts(p.login, "@", p.domain)
	r.text(p.phone)
	r.text(p.login)
	if a.sso == "" {
		r.text(demoHash)
		r.null()
		r.null()
	} else {
		r.null()
		r.text(a.sso)
		r.texts("sub-", strconv.Itoa(100_000_000+i))
	}
	r.bool(mfa)
	if mfa {
		r.text(mfaSecret(d))
	} else {
		r.null()
	}
	r.text(a.status)
	r.time(a.lastLogin)
	if a.lastLogin.IsZero() {
		r.null()
	} else {
		r.text(address(d))
	}
	r.int(a.attempts)
	r.time(a.lockedUntil)
	r.time(a.passwordSet)
	r.bool(a.sso == "" && d.percent(3))
	r.text(place[0])
	r.text(place[1])
	if typ == "SYSTEM" || d.percent(10) {
		r.null()
		r.null()
	} else {
		r.text(pick(d, p.departments))
		r.text(pick(d, p.positions))
	}
	r.bool(d.percent(90))
	r.bool(p.phone != "" && d.percent(60))
	r.bool(!deleted)
}

// newAccount draws a consistent state: only locked users have a future lock, and the failed logins that led to it.
func newAccount(d *dice, created time.Time, deleted, mayUseSSO bool) account {
	a := account{status: "ACTIVE"}
	switch n := d.IntN(100); {
	case deleted || n < 8:
		a.status = "INACTIVE"
	case n < 13:
		a.status = "LOCKED"
	case n < 17:
		a.status = "SUSPENDED"
	}
	if d.percent(85) {
		a.lastLogin = d.between(created, today)
	}
	if d.percent(60) || deleted || a.status != "ACTIVE" {
		a.updated = d.between(created, today)
	}
	switch {
	case a.status == "LOCKED":
		a.attempts, a.lockedUntil = 5+d.IntN(4), lockEnd(d)
	case d.percent(10):
		a.attempts = 1 + d.IntN(4)
	}
	if mayUseSSO && d.percent(10) {
		a.sso = pick(d, []string{"google", "azure-ad", "okta", "kakao"})
	} else {
		a.passwordSet = d.between(created, today)
	}
	return a
}

// admin appends the first user, which is the same in every load.
func (s *dataset) admin(r *row, created time.Time) {
	r.id(s.adminID)
	r.time(created)
	r.null()
	r.null()
	r.null()
	r.text("MASTER")
	r.text("CXG Administrator")
	r.text("admin@cxg.example")
	r.null()
	r.text(Admin)
	r.text(demoHash)
	r.null()
	r.null()
	r.bool(false)
	r.null()
	r.text("ACTIVE")
	r.null()
	r.null()
	r.int(0)
	r.null()
	r.time(created)
	r.bool(false)
	r.text("Asia/Seoul")
	r.text("ko-KR")
	r.text("Platform")
	r.text("Administrator")
	r.bool(true)
	r.bool(false)
	r.bool(true)
}

// tenantUserColumns are in the order in which dataset.tenantUser appends them.
const tenantUserColumns = `id created_at created_by updated_at updated_by tenant_id username password full_name email
	phone is_system_user last_login_at last_login_ip failed_login_attempts locked_until is_active is_deleted`

// tenantUser appends a row of the tenant database's sys.users; the first one created the others.
func (s *dataset) tenantUser(r *row, i int) {
	d := s.dice
	d.turn(kindTenantUser, i)
	from, to := slot(i, s.tenantUsers)
	created := d.between(from, to)
	p := newPerson(d, i)
	deleted := i > 0 && d.percent(3)
	a := newAccount(d, created, deleted, false)

	r.id(kindTenantUser.id(i))
	r.time(created)
	if i == 0 {
		r.null()
	} else {
		r.id(kindTenantUser.id(0))
	}
	r.time(a.updated)
	if a.updated.IsZero() {
		r.null()
	} else {
		r.id(kindTenantUser.id(0))
	}
	r.id(s.tenants[i%len(s.tenants)].id)
	r.text(p.login)
	r.text(demoHash)
	r.text(p.full)
	r.texts(p.login, "@", p.domain)
	r.text(p.phone)
	r.bool(i < len(s.tenants)) // the platform's own account in each tenant
	r.time(a.lastLogin)
	if a.lastLogin.IsZero() {
		r.null()
	} else {
		r.text(address(d))
	}
	r.int(a.attempts)
	r.time(a.lockedUntil)
	r.bool(a.status == "ACTIVE" || a.status == "LOCKED")
	r.bool(deleted)
}
