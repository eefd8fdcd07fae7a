use super::*;

#[test]
fn every_number_leads_to_its_name() {
    for arch in Arch::ALL {
        for call in names() {
            if let Some(number) = number(arch, call) {
                assert_eq!(name(arch, number), Some(call));
            }
        }
    }
}
