//! Texts and numbers as the OpenAPI document describes them. What checks them is the crate `code-service`.

use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr};
use utoipa::{IntoParams, ToSchema};

/// The campaign that owns the codes: at most 256 bytes, without control characters.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^[^\x00-\x1f\x7f-\x9f]{1,256}$", example = "summer-tour")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct CampaignId(String);

/// The name of a reservation: at most 256 bytes, without control characters.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^[^\x00-\x1f\x7f-\x9f]{1,256}$", example = "order-4711")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ReserveId(String);

/// The path of a campaign.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct OfCampaign {
    /// The campaign that owns the codes
    #[param(rename = "campaignId", inline = false)]
    campaign_id: CampaignId,
}

/// The path of a reservation.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct OfReservation {
    /// The campaign that owns the codes
    #[param(rename = "campaignId", inline = false)]
    campaign_id: CampaignId,
    /// The caller's own name of the reservation
    #[param(rename = "reserveId", inline = false)]
    reserve_id: ReserveId,
}

/// The path of an import.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct OfImport {
    /// The campaign that gets the codes
    #[param(rename = "campaignId", inline = false)]
    campaign_id: CampaignId,
    /// The id of the import
    #[param(rename = "importId", example = "0b4f5e0e-6c1c-4f0e-9f0a-2f4f5d0c7a11")]
    import_id: String,
}

/// The path of an export.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct OfExport {
    /// The campaign that owns the codes
    #[param(rename = "campaignId", inline = false)]
    campaign_id: CampaignId,
    /// The id of the export
    #[param(rename = "exportId", example = "0b4f5e0e-6c1c-4f0e-9f0a-2f4f5d0c7a11")]
    export_id: String,
}

/// One code: at most 256 bytes, without control characters.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, pattern = r"^[^\x00-\x1f\x7f-\x9f]{1,256}$", example = "ABC-1")]
pub(crate) struct Code(String);

/// A date and time as in RFC 3339, with its distance from UTC.
#[derive(ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00Z")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Moment(String);

/// What a code can be.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum Status {
    Available,
    Reserved,
    Assigned,
}

impl Code {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<code_service::Code> for Code {
    fn from(code: code_service::Code) -> Self {
        Code(code.into_string())
    }
}

/// What kind of code: one of the configured types.
#[derive(ToSchema)]
#[schema(value_type = String, example = "tm")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct CodeType(String);

/// Names the types that are configured.
pub(super) fn with_types(document: &mut OpenApi, types: &[String]) {
    let types = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .description(Some("What kind of code."))
        .enum_values(Some(types.iter().map(String::as_str)))
        .examples(types.first().map(String::as_str))
        .build();
    if let Some(components) = &mut document.components {
        components.schemas.insert("CodeType".to_owned(), RefOr::T(Schema::Object(types)));
    }
}
