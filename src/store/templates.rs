//! Templates and their audiences.

use std::collections::HashMap;

use diesel::dsl::{AsSelect, IntoBoxed, Select};
use diesel::prelude::*;
use serde::Deserialize;

use super::connection::{Db, MultiBackend, map_error};
use super::paging::{page, window};
use super::schema::{template_locations, templates};
use super::time_limit::with_time_limit;
use super::visibility;
use crate::error::Result;
use crate::model::{
    Audience, Cursor, LocationId, Page, PageRequest, Rights, Seq, Tag, Template, TemplateId, Timestamp, UserId,
};

/// A row of `templates`.
#[derive(Queryable, Selectable, Deserialize)]
#[diesel(table_name = templates)]
pub struct TemplateRow {
    id: i64,
    name: String,
    content: String,
    author_id: i64,
    restricted: bool,
    created_at: i64,
    seq: i64,
    tag: i64,
}

impl TemplateRow {
    pub(super) fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn template(self, audience: Audience) -> Template {
        Template {
            id: TemplateId(self.id),
            name: self.name,
            content: self.content,
            author_id: UserId(self.author_id),
            audience,
            created_at: Timestamp(self.created_at),
            cursor: Cursor { seq: Seq(self.seq), tag: Tag(self.tag) },
        }
    }
}

/// A page of the templates that the viewer may see, ordered by id.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn list(db: &mut Db, rights: &Rights, window: &PageRequest<TemplateId>) -> Result<Page<Template>> {
    let window = window.map(|id| id.0);
    let mut query = visible_templates(rights);
    if !rights.admin {
        // Only the first unrestricted templates, templates for the viewer's locations and the viewer's own can
        // be on this page. Naming them keeps the query from scanning other restricted templates.
        let unrestricted = templates::table.select(templates::id).filter(templates::restricted.eq(false));
        let unrestricted: Vec<i64> = window!(unrestricted.into_boxed::<MultiBackend>(), templates::id, asc, window)
            .load(db)
            .map_err(map_error)?;
        let for_viewer = template_locations::table
            .filter(template_locations::location_id.eq_any(visibility::viewer_locations(rights.into())))
            .select(template_locations::template_id);
        let author = rights.user.map_or(-1, |user| user.0);
        let own = templates::author_id.eq(author);
        query = query.filter(templates::id.eq_any(unrestricted).or(own).or(templates::id.eq_any(for_viewer)));
    }
    let query = with_time_limit!(db, query, templates::id);
    let rows = window!(query, templates::id, asc, window).load::<TemplateRow>(db).map_err(map_error)?;
    let page = page(rows, &window);
    Ok(Page { items: with_audiences(db, page.items)?, more: page.more })
}

/// The template with this id, if the viewer may see it.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find(db: &mut Db, rights: &Rights, id: TemplateId) -> Result<Option<Template>> {
    let row = visible_templates(rights)
        .filter(templates::id.eq(id.0))
        .first::<TemplateRow>(db)
        .optional()
        .map_err(map_error)?;
    Ok(with_audiences(db, row.into_iter().collect())?.pop())
}

/// Templates by id, without a permission check. Missing ones are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn by_ids(db: &mut Db, ids: &[TemplateId]) -> Result<HashMap<TemplateId, Template>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = templates::table
        .filter(templates::id.eq_any(ids))
        .select(TemplateRow::as_select())
        .load::<TemplateRow>(db)
        .map_err(map_error)?;
    Ok(with_audiences(db, rows)?.into_iter().map(|template| (template.id, template)).collect())
}

/// Inserts a template and its audience. Returns its id; the id in `template` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, template: &Template) -> Result<TemplateId> {
    let id: i64 = diesel::insert_into(templates::table)
        .values((
            templates::name.eq(&template.name),
            templates::content.eq(&template.content),
            templates::author_id.eq(template.author_id.0),
            templates::restricted.eq(!template.audience.is_unrestricted()),
            templates::created_at.eq(template.created_at.0),
            templates::seq.eq(template.cursor.seq.0),
            templates::tag.eq(template.cursor.tag.0),
        ))
        .returning(templates::id)
        .get_result(db)
        .map_err(map_error)?;
    for location in template.audience.0.iter() {
        diesel::insert_into(template_locations::table)
            .values((template_locations::template_id.eq(id), template_locations::location_id.eq(location.0)))
            .execute(db)
            .map_err(map_error)?;
    }
    Ok(TemplateId(id))
}

/// Deletes a template and its audience.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete(db: &mut Db, id: TemplateId) -> Result<()> {
    diesel::delete(templates::table.filter(templates::id.eq(id.0))).execute(db).map_err(map_error)?;
    Ok(())
}

/// Converts rows to templates and loads the audiences of the restricted ones.
fn with_audiences(db: &mut Db, rows: Vec<TemplateRow>) -> Result<Vec<Template>> {
    let restricted: Vec<i64> = rows.iter().filter(|row| row.restricted).map(|row| row.id).collect();
    let mut audiences: HashMap<i64, Vec<LocationId>> = HashMap::new();
    if !restricted.is_empty() {
        let pairs: Vec<(i64, i64)> = template_locations::table
            .filter(template_locations::template_id.eq_any(restricted))
            .select((template_locations::template_id, template_locations::location_id))
            .load(db)
            .map_err(map_error)?;
        for (template, location) in pairs {
            audiences.entry(template).or_default().push(LocationId(location));
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let audience = audiences.remove(&row.id).map(Audience::new).unwrap_or_default();
            row.template(audience)
        })
        .collect())
}

/// A query of template rows.
type TemplateQuery<'a> = IntoBoxed<'a, Select<templates::table, AsSelect<TemplateRow, MultiBackend>>, MultiBackend>;

/// Selects the templates that a signed-in viewer may read.
fn visible_templates<'a>(rights: &Rights) -> TemplateQuery<'a> {
    let query = templates::table.select(TemplateRow::as_select()).into_boxed::<MultiBackend>();
    if rights.admin {
        return query;
    }
    let for_viewer = template_locations::table
        .filter(template_locations::template_id.eq(templates::id))
        .filter(template_locations::location_id.eq_any(visibility::viewer_locations(rights.into())))
        .select(template_locations::template_id);
    query.filter(
        templates::restricted
            .eq(false)
            .or(templates::author_id.eq(visibility::ViewerParams::from(rights).user))
            .or(diesel::dsl::exists(for_viewer)),
    )
}
