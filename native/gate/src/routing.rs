//! The route of a request, by its model.

use super::*;

impl Stream {
    /// Have the route chosen by the model, if the key may use it.
    pub(super) fn route(&mut self, http: Http, named: Named, prefix: Option<u64>) -> Step {
        let table = &self.config.table;
        let value = match &named {
            Named::Missing => &table.missing,
            Named::Invalid => &table.invalid,
            Named::Model(name) => name,
        };
        http.add(REQUEST_HEADERS, MODEL_HEADER, value.as_bytes());
        http.route_again();
        http.choose_route(); // the ledger names the model also of a request that is refused
        if let Named::Model(name) = &named {
            self.names_model = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        }
        let is_full = || self.config.ledger.as_ref().is_some_and(|ledger| ledger.is_failing());
        if table.refuses_unwritten && self.is_written() && is_full() {
            return self.refuse(http, Refusal::of_ledger());
        }
        if let Named::Model(name) = &named {
            let no_model = *name == table.missing || *name == table.invalid;
            if self.known.as_ref().is_some_and(|key| self.checks.limits && !no_model && !key.may_use(name)) {
                return self.refuse(http, Refusal::of_model());
            }
            if self.claims.as_ref().is_some_and(|claims| self.checks.limits && !no_model && !claims.allow(name)) {
                return self.refuse(http, Refusal::of_claims());
            }
            if let Err(share) = self.take_place(http) {
                http.set_metadata(NAMESPACE, "share", share.to_string().as_bytes());
                return self.refuse(http, Refusal::of_share());
            }
        }
        if let Some(prefix) = prefix {
            self.balance(http, prefix);
        }
        Step::Continue
    }

    /// Take one of the model's places, if it has a number of them. An error says how many the key may have.
    ///
    /// Without a place, the fallback of the model answers. Without that, Envoy refuses what is more than all places.
    pub(super) fn take_place(&mut self, http: Http) -> Result<(), u32> {
        if !self.checks.limits {
            return Ok(());
        }
        let places = http.metadata(METADATA_ROUTE, NAMESPACE, "places");
        let places = places.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse().ok());
        let (Some(places), Some(model)) = (places, http.text(ROUTE_NAME)) else { return Ok(()) };
        match Place::take(model, self.key.as_deref().unwrap_or_default(), places) {
            Ok(place) => self.place = Some(place),
            Err(_) if http.metadata(METADATA_ROUTE, NAMESPACE, "fallback").is_some() => {
                http.add(REQUEST_HEADERS, FULL_HEADER, b"yes");
                http.route_again();
                http.choose_route();
            }
            Err(Crowd::Share(share)) => return Err(share),
            Err(Crowd::Full) => {}
        }
        Ok(())
    }

    /// Refuse messages that cannot be answered, if the route is that of a model which does not check them.
    pub(super) fn refuse_turns(&mut self, http: Http, fault: Fault) -> Step {
        match http.metadata(METADATA_ROUTE, NAMESPACE, "roles") {
            Some(_) => self.refuse(http, Refusal::of_turns(fault)),
            None => Step::Continue,
        }
    }

    /// Have the balancer know what the conversation begins with, if the route wants that.
    ///
    /// A few requests are balanced without it, so that the control plane can compare.
    pub(super) fn balance(&mut self, http: Http, prefix: u64) {
        if http.metadata(METADATA_ROUTE, NAMESPACE, "affinity").is_none() {
            return;
        }
        if balance::is_compared(&self.id) {
            self.balanced_by = Some(BalancedBy::Requests);
            return;
        }
        self.balanced_by = Some(BalancedBy::Prefix);
        http.add(REQUEST_HEADERS, PREFIX_HEADER, format!("{prefix:016x}").as_bytes());
    }
}
